/**
 * The real command, real processes, kill -9 of every agent of a role.
 * Catches: a planned run that waits for agents that are gone although there is another way to its goal, one that
 * fails where another task would do, and a goal reached another way that does not say so.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Stage } from "./stage.ts";

let stage: Stage;
beforeEach(() => {
  stage = new Stage();
  stage.env.DATAHAMMER_ROLE_ABSENCE = "2s";
});
afterEach(() => stage.end());

/** An agent file with one task; `body` is what the task does with `inputs` and `ctx`. */
function agentFile(role: string, task: string, card: object, body: string): string {
  const path = join(stage.folder, `${role}.mjs`);
  const text = `
    import { pathToFileURL } from "node:url";
    const { defineAgent, NonRetryableError } = await import(pathToFileURL(process.env.DATAHAMMER_ENTRY).href);
    export default defineAgent({
      role: ${JSON.stringify(role)},
      tasks: { ${JSON.stringify(task)}: { ...${JSON.stringify(card)}, run: async (inputs, ctx) => { ${body} } } },
    });`;
  writeFileSync(path, text);
  return path;
}

const WAITS_FOR_EVER =
  'await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve)); throw new Error("stopped");';

const otherWay = (): string[] => [
  agentFile("rough", "halve", { gives: ["half"], cost: 2 }, "return { half: 1 };"),
  agentFile("fine", "double", { needs: ["half"], gives: ["x"], cost: 2 }, "return { x: inputs.half * 2 };"),
  agentFile("end", "tell", { needs: ["x"], gives: ["answer"] }, "return { answer: `x is ${inputs.x}` };"),
];

interface View {
  status: string;
  outputs: Record<string, unknown>;
  plan: {
    revisions: { reason: string; added: string[]; dropped: string[] }[];
    retired: Record<string, object>;
  };
}

it("the agents of the best role are killed in the middle of their task: the goal is reached another way", async () => {
  await stage.daemon();
  const best = await stage.agent(agentFile("best", "make", { gives: ["x"], cost: 1 }, WAITS_FOR_EVER));
  for (const file of otherWay()) await stage.agent(file);
  const submitted = await stage.run("run", "--want", "answer", "--run", "r1", "--detach", "--json");
  expect(submitted.code, submitted.stderr).toBe(0);
  const watching = stage.start(["watch", "r1", "--json"]);
  await watching.waitForLine((line) => line.includes('"to":"running"') && line.includes('"make"'));
  process.kill(best.pid, "SIGKILL");
  expect((await watching.exited).code).toBe(0);
  const view = (await stage.run("show", "r1", "--json")).json() as unknown as View;
  expect(view).toMatchObject({ status: "done", outputs: { answer: "x is 2" } });
  expect(view.plan.revisions).toMatchObject([{ added: ["halve", "double"], dropped: ["make"] }]);
  expect(view.plan.revisions[0]?.reason).toMatch(/^nobody served best for \d+ s: /);
  expect(view.plan.retired).toMatchObject({ make: { state: "failed", outcome: "cancelled" } });
  expect((await stage.run("show", "r1")).stdout).toContain("revision 1: nobody served best");
  expect((await stage.run("trace", "r1")).stdout).toContain("revision 1: nobody served best");
}, 180_000);

it("a task that fails for good is replaced by a path of two, and what was tried is told", async () => {
  await stage.daemon();
  const body = 'throw new NonRetryableError("the sensor is broken");';
  await stage.agent(agentFile("best", "make", { gives: ["x"], cost: 1 }, body));
  for (const file of otherWay()) await stage.agent(file);
  const ran = await stage.run("run", "--want", "answer", "--run", "r1", "--json");
  expect(ran.code, ran.stderr).toBe(0);
  expect(ran.stderr).toMatch(/^revision 1: .*failed/m);
  const view = ran.json() as unknown as View;
  expect(view.outputs).toEqual({ answer: "x is 2" });
  expect(view.plan.revisions[0]?.reason).toContain("the sensor is broken");
  expect(view.plan.retired).toMatchObject({ make: { failures: [{ message: "the sensor is broken" }] } });
}, 180_000);

it("a retry goes to another agent of the role, and who tried is told", async () => {
  stage.env.DATAHAMMER_ROLE_ABSENCE = "30s";
  await stage.daemon();
  // The first process to come fails always, the other never: whoever finds the file is the other.
  const body = `
    const { existsSync, writeFileSync, readFileSync } = await import("node:fs");
    const file = process.env.COUNT_FILE;
    if (!existsSync(file)) writeFileSync(file, String(process.pid));
    if (readFileSync(file, "utf8") === String(process.pid)) throw new Error("bad host");
    return { x: process.pid };`;
  const file = agentFile("maker", "make", { gives: ["x"] }, body);
  await Promise.all([stage.agent(file), stage.agent(file)]);
  const ran = await stage.run("run", "--want", "x", "--run", "r1", "--json");
  expect(ran.code, ran.stderr).toBe(0);
  const { steps } = ran.json() as { steps: Record<string, { failures: { agent: string }[]; agent: string }> };
  const { failures = [], agent } = steps.make ?? {};
  expect(failures).toHaveLength(1);
  expect(failures[0]?.agent).not.toBe(agent);
}, 180_000);

it("when nothing else is left people are asked, and what they give is gone on with", async () => {
  await stage.daemon();
  await stage.agent(agentFile("best", "make", { gives: ["x"] }, 'throw new NonRetryableError("no paper");'));
  await stage.agent(agentFile("end", "tell", { needs: ["x"], gives: ["y"] }, "return { y: inputs.x + 1 };"));
  await stage.run("run", "--want", "y", "--run", "r1", "--ask", "1h", "--detach", "--json");
  const watching = stage.start(["watch", "r1", "--json"]);
  await watching.waitForLine((line) => line.includes('"to":"waiting"'));
  const shown = (await stage.run("show", "r1")).stdout;
  expect(shown).toContain("a decision about make, which failed, until");
  expect(shown).toContain("no paper");
  expect((await stage.run("approve", "r1", "make", '{"x": 41}')).code).toBe(0);
  expect((await watching.exited).code).toBe(0);
  const view = (await stage.run("show", "r1", "--json")).json() as unknown as View;
  expect(view).toMatchObject({ status: "done", outputs: { y: 42 } });
}, 180_000);
