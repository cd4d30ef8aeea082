/** Where the page begins. */
import { render } from "preact";
import { App } from "./app.tsx";
import { startRouter } from "./model/router.ts";
import { startTheme } from "./parts/theme.ts";

startTheme();
startRouter();
const root = document.getElementById("app");
if (root !== null) render(<App />, root);
