// The agent of the chaos rounds: serves one of the roles of the simulated workflows as a real process, and notes
// every start in a journal.
import { appendFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const root = pathToFileURL(process.env.DATAHAMMER_ENTRY);
const { defineAgent, NonRetryableError } = await import(root.href);
const { midwayKey, outputKey, productOf, ROLES } = await import(
  new URL("simulation/workflows.js", root).href
);

async function work(inputs, ctx, role) {
  const line = `${Date.now()} ${ctx.run} ${ctx.step} ${ctx.n} ${process.pid}\n`;
  appendFileSync(process.env.CHAOS_JOURNAL, line);
  const { act, until, ms } = inputs.script;
  const outputs = { [outputKey(ctx.step)]: productOf(ctx.step, inputs), extra: ctx.n };
  await wait(ms, undefined, { signal: ctx.signal });
  if (act === "flaky" && ctx.attempt <= until) throw new Error("not this time");
  if (act === "refuse") throw new NonRetryableError("never");
  if (act === "pass" && until > 0) {
    const next = ROLES[(ROLES.indexOf(role) + 1) % ROLES.length];
    const script = { ...inputs.script, until: until - 1 };
    return ctx.handoff(next, "work", { ...inputs, script }, "not mine");
  }
  if (act === "midway") {
    await ctx.env.set(midwayKey(ctx.step), productOf(ctx.step, { ...inputs, midway: 1 }));
  }
  return outputs;
}

export default ROLES.map((role) =>
  defineAgent({ role, tasks: { work: { run: (inputs, ctx) => work(inputs, ctx, role) } } }),
);
