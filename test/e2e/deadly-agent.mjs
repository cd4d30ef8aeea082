// Serves role `deadly`: its task `kill` ends the process, and with it whatever runs beside it.
import { setTimeout as wait } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const { defineAgent } = await import(pathToFileURL(process.env.DATAHAMMER_ENTRY).href);

export default defineAgent({
  role: "deadly",
  tasks: {
    kill: { run: () => process.kill(process.pid, "SIGKILL") },
    work: {
      run: async () => {
        await wait(100);
        return { done: true };
      },
    },
  },
});
