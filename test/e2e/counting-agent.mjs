// An agent for the kill tests: every task notes its start in a shared file, works a little, and answers.
import { appendFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const { defineAgent } = await import(pathToFileURL(process.env.DATAHAMMER_ENTRY).href);

export default defineAgent({
  role: "counter",
  tasks: {
    count: {
      run: async (inputs, ctx) => {
        appendFileSync(process.env.COUNT_FILE, `${ctx.step} ${ctx.n} ${process.pid}\n`);
        await wait(inputs.ms ?? 20);
        return { [`${ctx.step}_out`]: ctx.step };
      },
    },
  },
});
