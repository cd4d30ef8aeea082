/**
 * Agents as processes of their own on a real server. Catches: a task that is given to a second agent while
 * the first is busy with it, a busy agent that is taken for gone, processes that do not share their role's work, a
 * process that does not end.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Bus } from "../../src/bus/bus.ts";
import type { AgentPresence, ResultMessage, TaskMessage } from "../../src/bus/messages.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

const RUN = "run1";
const ACK_WAIT_MS = 1_000;

let nats: TestNats;
let bus: Bus;
const agents: AgentProcess[] = [];
let results: ResultMessage[];
let onResult: (() => void)[];
let asked: number;

beforeEach(async () => {
  nats = await startTestNats();
  bus = await connectNatsBus({ url: nats.url, token: nats.token, provision: true });
  bus.live.onHello(async ({ roles }) => ({
    ok: true,
    roles: await Promise.all(roles.map(({ role }) => bus.tasks.ensureRole({ role, ackWaitMs: ACK_WAIT_MS }))),
  }));
  asked = 0;
  bus.live.onAsk(async () => {
    asked++;
    return { open: true };
  });
  results = [];
  onResult = [];
  await bus.log.follow(RUN, (record) => {
    if (record.kind !== "result") return;
    results.push(record.body);
    for (const listener of onResult) listener();
  });
});

afterEach(async () => {
  for (const { child } of agents.splice(0)) child.kill("SIGKILL");
  await bus.close();
  await nats.stop();
});

describe("a task that blocks its event loop for three ack-waits", () => {
  it("runs exactly once, although another agent of the role has free slots", async () => {
    const first = await startAgent("one", 1);
    const second = await startAgent("two", 1);
    await push({ step: "long", task: "block", inputs: { ms: 3 * ACK_WAIT_MS } });
    await resultCount(1);
    const ran = [...first.lines, ...second.lines].filter(({ event }) => event === "ran");
    expect(ran).toHaveLength(1);
    expect(asked).toBe(0);
    for (const { child } of [first, second]) child.kill("SIGTERM");
    await Promise.all([first.exit, second.exit]);
    expect(await bus.tasks.has({ run: RUN, step: "long", n: 1, role: "worker" })).toBe(false);
  });

  it("is kept also when its process had just connected again", async () => {
    const first = await startAgent("one", 1);
    const second = await startAgent("two", 1);
    await nats.restart();
    await push({ step: "long", task: "block", inputs: { ms: 3 * ACK_WAIT_MS } });
    await resultCount(1);
    const ran = [...first.lines, ...second.lines].filter(({ event }) => event === "ran");
    expect(ran).toHaveLength(1);
  });

  it("goes to another agent once its deadline has passed", async () => {
    const first = await startAgent("one", 1);
    // Once it has done something, it takes the next task at once.
    await push({ step: "warm", task: "block", inputs: { ms: 0 } });
    await resultCount(1);
    const deadline = Date.now() + 2_000;
    await push({ step: "hung", task: "block", inputs: { ms: 60_000 }, deadline });
    await first.said(({ event, step }) => event === "ran" && step === "hung");
    const second = await startAgent("two", 1);
    await second.said(({ event, step }) => event === "ran" && step === "hung");
    expect(asked).toBeGreaterThan(0);
  });
});

describe("an agent whose event loop is blocked", () => {
  it("is here all the same, with the task in its hands, and answers for itself afterwards", async () => {
    const agent = await startAgent("one");
    await push({ step: "long", task: "block", inputs: { ms: 8_000 } });
    await agent.said(({ event }) => event === "ran");
    const listed = await listWith(() => true);
    expect(results).toEqual([]);
    expect(listed).toMatchObject([{ id: "one", roles: [{ role: "worker" }], running: 1, done: 0 }]);
    expect(await listWith(({ done }) => done === 1)).toMatchObject([{ id: "one", running: 0 }]);
  });

  it("is not here once it has drained", async () => {
    const agent = await startAgent("one");
    await push({ step: "short", task: "block", inputs: { ms: 0 } });
    await agent.said(({ event }) => event === "ran");
    agent.child.kill("SIGTERM");
    await agent.said(({ event }) => event === "drained");
    expect(await bus.presence.list()).toEqual([]);
  });
});

describe("two processes of one role", () => {
  it("share its work, each within its concurrency", async () => {
    const both = [await startAgent("one", 2), await startAgent("two", 2)];
    for (const step of ["a", "b", "c", "d"]) await push({ step, task: "wait" });
    for (const agent of both)
      await agent.said((_line, all) => all.filter(({ event }) => event === "ran").length === 2);
    for (const { child } of both) child.stdin.write("go\n");
    await resultCount(4);
    const perAgent = both.map(({ id }) => results.filter(({ agent }) => agent === id).length);
    expect(perAgent).toEqual([2, 2]);
  });

  it("finish each other's work when one is killed in the middle", async () => {
    const first = await startAgent("one", 1);
    await push({ step: "a", task: "wait" });
    await first.said(({ event }) => event === "ran");
    const second = await startAgent("two", 1);
    second.child.stdin.write("go\n");
    first.child.kill("SIGKILL");
    await resultCount(1);
    expect(results[0]).toMatchObject({ step: "a", agent: "two", status: "done" });
    expect(asked).toBe(1);
  });
});

describe("SIGTERM", () => {
  it("lets a running task finish, and then the process ends by itself", async () => {
    const agent = await startAgent("one");
    await push({ step: "a", task: "wait" });
    await agent.said(({ event }) => event === "ran");
    agent.child.kill("SIGTERM");
    agent.child.stdin.write("go\n");
    await agent.said(({ event }) => event === "drained");
    expect(await agent.exit).toBe(0);
    expect(results).toEqual([expect.objectContaining({ step: "a", status: "done" })]);
  });
});

interface Line {
  event: string;
  step?: string;
  pid?: number;
}

interface AgentProcess {
  id: string;
  child: ChildProcessByStdio<Writable, Readable, null>;
  lines: Line[];
  exit: Promise<number | null>;
  /** Resolves when a line makes this true. */
  said(what: (line: Line, all: Line[]) => boolean): Promise<void>;
}

async function startAgent(id: string, concurrency = 4): Promise<AgentProcess> {
  const file = fileURLToPath(new URL("./process-agent.ts", import.meta.url));
  const settings = JSON.stringify({ url: nats.url, token: nats.token, id, concurrency });
  const child = spawn(process.execPath, ["--import", "tsx", file, settings], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines: Line[] = [];
  const listeners = new Set<() => void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(JSON.parse(line));
    for (const listener of [...listeners]) listener();
  });
  const exit = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const said: AgentProcess["said"] = (what) =>
    new Promise((resolve, reject) => {
      const look = () => {
        if (!lines.some((line) => what(line, lines))) return;
        listeners.delete(look);
        resolve();
      };
      listeners.add(look);
      void exit.then((code) => reject(new Error(`agent ${id} ended with ${code}: ${JSON.stringify(lines)}`)));
      look();
    });
  const agent = { id, child, lines, exit, said };
  agents.push(agent);
  await said(({ event }) => event === "joined");
  return agent;
}

/** The keep-alive thread of an agent that has just begun may still be connecting: the first list with such an agent. */
async function listWith(what: (agent: AgentPresence) => boolean): Promise<AgentPresence[]> {
  for (;;) {
    const agents = await bus.presence.list();
    if (agents.some(what)) return agents;
  }
}

function resultCount(count: number): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (results.length >= count) resolve();
    };
    onResult.push(look);
    look();
  });
}

async function push(task: Pick<TaskMessage, "step" | "task"> & Partial<TaskMessage>): Promise<void> {
  await bus.tasks.push({
    v: 1,
    run: RUN,
    n: 1,
    role: "worker",
    inputs: {},
    attempt: 1,
    idempotencyKey: `${RUN}:${task.step}`,
    outputs: [],
    ...task,
  });
}
