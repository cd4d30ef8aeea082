/** The agents of the runs to be photographed, for a daemon that serves them in a process of their own. */
import { pictureAgents } from "./picture-runs.ts";

export default pictureAgents();
