// An agent whose process is killed in the middle of the first execution of each of its tasks, where the folder
// MORTAL_FOLDER is named; without it, it lives. A marker file for each death says that it has happened.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const { defineAgent, NonRetryableError } = await import(pathToFileURL(process.env.DATAHAMMER_ENTRY).href);
const folder = process.env.MORTAL_FOLDER;

async function work(ctx, task) {
  await wait(30);
  if (folder === undefined) return;
  try {
    writeFileSync(join(folder, task), `${ctx.run} ${ctx.step}`, { flag: "wx" });
  } catch {
    return; // It has died of this before.
  }
  process.kill(process.pid, "SIGKILL");
}

const tasks = {
  list: ({ count }) => ({ items: Array.from({ length: count }, (_, at) => at + 1) }),
  square: ({ item }, ctx) => {
    ctx.usage({ tokens: 10 });
    return { square: item * item };
  },
  grow: ({ level }) => ({ level: level + 1 }),
  pass: ({ hops, of }, ctx) =>
    hops > 0 ? ctx.handoff("mortal", "pass", { hops: hops - 1, of }, "not mine") : { passed: of * 2 },
  sum: ({ list }) => ({ total: list.reduce((sum, one) => sum + one, 0) }),
  give: ({ key, value }) => ({ [key]: value }),
  undo: () => ({}),
  refuse: () => {
    throw new NonRetryableError("the card was refused");
  },
  midway: async (_, ctx) => {
    await ctx.env.set("midway", 7);
    return { fin: 1 };
  },
};

const mortal = defineAgent({
  role: "mortal",
  tasks: Object.fromEntries(
    Object.entries(tasks).map(([task, act]) => [
      task,
      {
        run: async (inputs, ctx) => {
          await work(ctx, task);
          return act(inputs, ctx);
        },
      },
    ]),
  ),
});

export default mortal;
