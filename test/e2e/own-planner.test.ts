/**
 * A swarm that brings its own planner, with the real command, real processes and a real server.
 * Catches: a planner in another language that is not asked or not understood; one that lies, is slow, or is killed
 * over its question, and takes the run with it; and a question that is lost with the daemon that asked it.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it, onTestFinished } from "vitest";
import { startTestNats } from "../support/nats.ts";
import { findPython } from "../support/python.ts";
import { holderPid, Stage } from "./stage.ts";

let stage: Stage;
let children: ChildProcess[];
beforeEach(() => {
  stage = new Stage();
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await stage.end();
});

const EXAMPLE = resolve(import.meta.dirname, "../../examples/planner/planner.py");
const HOUSE_RULES = resolve(import.meta.dirname, "../../examples/planner/house-rules.ts");

/** Agents whose tasks just give their keys, and a planner whose tasks do `planner`. */
function agents(planner?: string): string {
  const path = join(stage.folder, "agents.mjs");
  const role = planner === undefined ? "" : `, planner`;
  writeFileSync(
    path,
    `
    import { pathToFileURL } from "node:url";
    const { defineAgent, NonRetryableError } = await import(pathToFileURL(process.env.DATAHAMMER_ENTRY).href);
    const give = (role, name, gives, more = {}) =>
      defineAgent({ role, tasks: { [name]: { gives, ...more, run: () => Object.fromEntries(gives.map((key) => [key, role])) } } });
    const broken = defineAgent({ role: "first", tasks: { half: { gives: ["half"], cost: 1, run: () => { throw new NonRetryableError("broken"); } } } });
    const answer = async (inputs, ctx) => { ${planner ?? "return {};"} };
    const planner = defineAgent({ role: "planner", tasks: { plan: { run: answer }, recover: { run: answer } } });
    export default [
      process.env.BROKEN ? broken : give("first", "half", ["half"], { cost: 1 }),
      give("second", "rest", ["x"], { needs: ["half"], cost: 1 }),
      give("whole", "make", ["x"], { cost: 9 }),
      give("end", "tell", ["y"], { needs: ["x"] })${role}];`,
  );
  return path;
}

async function python(): Promise<void> {
  const { command, env } = await findPython();
  const child = spawn(command, [EXAMPLE], {
    env: { ...process.env, ...stage.env, ...env },
    stdio: ["ignore", "pipe", "ignore"],
  });
  children.push(child);
  await new Promise<void>((ready, failed) => {
    child.stdout.once("data", () => ready());
    child.once("exit", (code) => failed(new Error(`the planner ended with ${code}`)));
  });
}

interface View {
  status: string;
  outputs: Record<string, unknown>;
  steps: Record<string, unknown>;
  plan: { optimal: boolean; cost: number; advice?: string[]; revisions: { reason: string }[] };
}

async function ran(): Promise<View> {
  const result = await stage.run("run", "--want", "y", "--run", "r1", "--json");
  expect(result.code, result.stderr).toBe(0);
  const view = (await stage.run("show", "r1", "--json")).json() as unknown as View;
  expect(view).toMatchObject({ status: "done", outputs: { y: "end" } });
  return view;
}

it("the example in Python plans with few steps, and the run says what another plan would have cost", async () => {
  await stage.daemon();
  await stage.agent(agents());
  await python();
  const planned = await stage.run("plan", "--want", "y", "--json");
  expect(planned.json()).toMatchObject({ cost: 10, optimal: false });
  expect(await (await stage.bus()).log.list()).toEqual([]);
  const view = await ran();
  expect(Object.keys(view.steps)).toEqual(["make", "tell"]);
  expect(view.plan).toMatchObject({ cost: 10, optimal: false });
  expect(view.plan.advice?.[0]).toContain("(without it: y, cost 3)");
  expect((await stage.run("trace", "r1", "--format", "json")).stdout).toContain("question 1: plan");
}, 180_000);

it("the example in TypeScript keeps the roles out that the house forbids", async () => {
  stage.env.FORBIDDEN = "first,second";
  await stage.daemon();
  await stage.agent(agents());
  await stage.agent(HOUSE_RULES);
  const view = await ran();
  expect(Object.keys(view.steps)).toEqual(["make", "tell"]);
  expect(view.plan.advice?.[0]).toContain("the swarm's planner proposed");
}, 180_000);

it("a planner that names what is not there gets its errors, and the run its plan without it", async () => {
  const lie = `return { workflow: { steps: [{ id: "a", agent: "root", task: "shell", inputs: { y: "\${env.x + 1}" } }] } };`;
  await stage.daemon();
  await stage.agent(agents(lie));
  const view = await ran();
  expect(view.plan).toMatchObject({ cost: 3, optimal: true });
  expect(view.plan.advice?.[0]).toContain("its 3 answers were refused");
  expect(view.plan.advice?.[0]).toContain("there is no task root.shell");
}, 180_000);

it("a planner that never answers is planned without, and told to stop", async () => {
  const never = `await new Promise((stop) => ctx.signal.addEventListener("abort", stop)); throw new Error("stopped");`;
  await stage.daemon();
  await stage.agent(agents(never));
  const view = await ran();
  // Its own deadline and the daemon's come at once: whichever is first says why.
  expect(view.plan.advice?.[0]).toMatch(/^planned without the swarm's planner: /);
  expect(view.plan).toMatchObject({ cost: 3, optimal: true });
}, 180_000);

it("a planner that its question kills takes no run with it", async () => {
  await stage.daemon();
  await stage.agent(agents());
  const deadly = join(stage.folder, "deadly.mjs");
  writeFileSync(
    deadly,
    `import { pathToFileURL } from "node:url";
     const { defineAgent } = await import(pathToFileURL(process.env.DATAHAMMER_ENTRY).href);
     const run = () => { process.kill(process.pid, "SIGKILL"); };
     export default defineAgent({ role: "planner", tasks: { plan: { run } } });`,
  );
  await stage.agent(deadly);
  const view = await ran();
  expect(view.plan).toMatchObject({ cost: 3, optimal: true });
  expect(view.plan.advice?.[0]).toContain("planned without the swarm's planner");
}, 180_000);

it("the daemon that asked is killed: another has the answer, and nothing is asked twice", async () => {
  const nats = await startTestNats();
  onTestFinished(() => nats.stop());
  stage.useBroker(nats);
  const told = join(stage.folder, "go");
  stage.env.GO = told;
  // Whoever reads a pipe waits for somebody who writes to it.
  execFileSync("mkfifo", [told]);
  const slow = `await (await import("node:fs/promises")).readFile(process.env.GO);
    return { workflow: { steps: [{ id: "a", agent: "whole", task: "make" }, { id: "b", agent: "end", task: "tell" }] } };`;
  const flags = ["--ack-wait", "2s"];
  await Promise.all([stage.daemon(...flags), stage.daemon(...flags)]);
  await stage.agent(agents(slow));
  await stage.run("run", "--want", "y", "--run", "r1", "--detach", "--json");
  const bus = await stage.bus();
  await new Promise<void>((asked) => {
    void bus.log.follow("r1", (record) => {
      if (record.kind === "decision" && record.body.type === "consult") asked();
    });
  });
  process.kill(holderPid(await stage.log()), "SIGKILL");
  await writeFile(told, "");
  const watching = stage.start(["watch", "r1", "--json"]);
  expect((await watching.exited).code).toBe(0);
  const view = (await stage.run("show", "r1", "--json")).json() as unknown as View;
  expect(view).toMatchObject({ status: "done", plan: { cost: 10 } });
  const asked = (await stage.log()).filter((one) => one.kind === "decision" && one.body.type === "consult");
  expect(asked).toHaveLength(1);
}, 180_000);
