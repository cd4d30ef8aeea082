/**
 * The Python example against a real server: proof that the documented protocol is enough to write an agent
 * in another language. Catches: messages that only our own code can read, and an agent that runs work twice,
 * acks before its result is stored, or loses a result while the broker is away.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Bus } from "../../src/bus/bus.ts";
import type {
  Answer,
  LiveMessage,
  ResultMessage,
  RoleSettings,
  TaskMessage,
} from "../../src/bus/messages.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";
import { findPython, type Python } from "../support/python.ts";

const RUN = "run1";
const ROLE = "words";
const ACK_WAIT_MS = 1_000;

let python: Python;
let nats: TestNats;
let bus: Bus;
let agents: PythonAgent[];
let results: ResultMessage[];
let onResult: (() => void)[];
let live: LiveMessage[];
let asked: number;
let answer: Answer;
let encoding: RoleSettings["encoding"];

beforeAll(async () => {
  python = await findPython();
}, 300_000);

beforeEach(async () => {
  nats = await startTestNats();
  bus = await connectNatsBus({ url: nats.url, token: nats.token, provision: true });
  encoding = "json";
  bus.live.onHello(async ({ roles }) => ({
    ok: true,
    roles: await Promise.all(
      roles.map(({ role }) => bus.tasks.ensureRole({ role, encoding, ackWaitMs: ACK_WAIT_MS })),
    ),
  }));
  asked = 0;
  answer = { open: true };
  bus.live.onAsk(async () => {
    asked++;
    return answer;
  });
  agents = [];
  results = [];
  onResult = [];
  live = [];
  bus.live.onLive(RUN, (message) => void live.push(message));
  await bus.log.follow(RUN, (record) => {
    if (record.kind !== "result") return;
    results.push(record.body);
    for (const listener of onResult) listener();
  });
});

afterEach(async () => {
  for (const { child } of agents) child.kill("SIGKILL");
  await bus.close();
  await nats.stop();
});

describe("the Python agent", () => {
  it("takes a task, tells how it goes, stores the result and acks", async () => {
    const agent = await startAgent();
    await push({ step: "a", task: "count", inputs: { text: "three little wörds" } });
    await resultCount(1);
    expect(results[0]).toMatchObject({
      run: RUN,
      step: "a",
      n: 1,
      agent: agent.id,
      status: "done",
      outputs: { words: 3, longest: "little" },
    });
    expect(live.map(({ type }) => type)).toEqual(["started", "progress"]);
    await endOf(agent);
    expect(await bus.tasks.roles()).toEqual([expect.objectContaining({ role: ROLE, queued: 0, held: 0 })]);
  });

  it("is on the presence list with its role, its tasks and what it has done", async () => {
    const agent = await startAgent();
    await push({ step: "a", task: "count", inputs: { text: "one" } });
    await resultCount(1);
    expect(await bus.presence.list()).toEqual([
      expect.objectContaining({
        id: agent.id,
        pid: agent.child.pid,
        done: 1,
        roles: [
          expect.objectContaining({
            role: ROLE,
            tasks: expect.arrayContaining([expect.objectContaining({ name: "count" })]),
          }),
        ],
      }),
    ]);
  });

  it("keeps a task that takes three ack-waits without a pause, so that it runs once", async () => {
    const both = [await startAgent(), await startAgent()];
    await push({ step: "long", task: "busy", inputs: { seconds: (3 * ACK_WAIT_MS) / 1_000 } });
    await resultCount(1);
    const ran = both.flatMap(({ lines }) => lines).filter(({ event }) => event === "ran");
    expect(ran).toHaveLength(1);
    expect(asked).toBe(0);
  });

  it("takes over from one that was killed, after asking", async () => {
    const first = await startAgent();
    await push({ step: "a", task: "until_told" });
    await first.said(({ event }) => event === "ran");
    const second = await startAgent();
    first.child.kill("SIGKILL");
    second.child.stdin.write("go\n");
    await resultCount(1);
    expect(results[0]).toMatchObject({ agent: second.id, status: "done" });
    expect(asked).toBe(1);
  });

  it("acks a redelivered task without running it when its dispatch is closed", async () => {
    answer = { open: false };
    const first = await startAgent();
    await push({ step: "a", task: "until_told" });
    await first.said(({ event }) => event === "ran");
    first.child.kill("SIGKILL");
    const second = await startAgent();
    await push({ step: "b", task: "count", inputs: { text: "next" } });
    await resultCount(1);
    // The redelivery may come after the next task; a process that has drained has dealt with what it took.
    await taskGone("a");
    await endOf(second);
    expect(asked).toBe(1);
    expect(results.map(({ step }) => step)).toEqual(["b"]);
    expect(second.lines.filter(({ event }) => event === "ran")).toEqual([]);
  });

  it.each([
    ["raises", "fail", { how: "plain" }, { name: "ValueError", message: "it went wrong", retryable: true }],
    ["gives up for good", "fail", { how: "final" }, { name: "NonRetryableError", retryable: false }],
    ["gets a task that it has not", "missing", {}, { code: "E_UNKNOWN_TASK", retryable: false }],
    ["returns what is no JSON", "give", { what: "nan" }, { code: "E_OUTPUT_ENCODING", retryable: false }],
    [
      "returns an object of Python's",
      "give",
      { what: "object" },
      { code: "E_OUTPUT_ENCODING", retryable: false },
    ],
    ["returns a list", "give", { what: "list" }, { code: "E_OUTPUT_SCHEMA", retryable: false }],
    ["returns too much", "give", { what: "large" }, { code: "E_PAYLOAD_TOO_LARGE", retryable: false }],
    [
      "gets a claim-checked input",
      "count",
      { text: { $artifact: { name: "a", bytes: 300_000, holds: "value" } } },
      { code: "E_CLAIM_CHECK", retryable: false },
    ],
  ])("reports the failure when a task %s, and goes on", async (_what, task, inputs, error) => {
    await startAgent();
    await push({ step: "bad", task, inputs });
    await push({ step: "good", task: "count", inputs: { text: "still here" } });
    await resultCount(2);
    expect(results[0]).toMatchObject({ step: "bad", status: "failed", error });
    expect(results[1]).toMatchObject({ step: "good", status: "done" });
  });

  it("hands its step over", async () => {
    await startAgent();
    await push({ step: "a", task: "hand_over" });
    await resultCount(1);
    expect(results[0]).toMatchObject({
      status: "handoff",
      handoff: { role: "expert", task: "solve", inputs: { hard: true }, reason: "too hard" },
    });
  });

  it("stops on a cancel request and answers when it has stopped", async () => {
    const agent = await startAgent();
    await push({ step: "a", task: "until_cancelled" });
    await agent.said(({ event }) => event === "ran");
    const stopped = await bus.live.cancel({ run: RUN, step: "a", n: 1, role: ROLE }, "enough", 10_000);
    expect(stopped).toBe(true);
    await resultCount(1);
    expect(results[0]?.error).toMatchObject({ code: "E_CANCELLED", retryable: false });
  });

  it("stores its result although its message id was used before", async () => {
    await startAgent();
    const foreign: ResultMessage = { v: 1, run: "other", step: "x", n: 1, agent: "x", status: "done" };
    await bus.log.append(
      "other",
      { kind: "result", role: ROLE, body: foreign },
      { id: `${ROLE}:${RUN}:a:1` },
    );
    await push({ step: "a", task: "count", inputs: { text: "once more" } });
    await resultCount(1);
    expect(results[0]).toMatchObject({ step: "a", outputs: { words: 2 } });
  });

  it("keeps a result while the broker is away and stores it afterwards", async () => {
    const agent = await startAgent();
    await push({ step: "a", task: "until_told" });
    await agent.said(({ event }) => event === "ran");
    await nats.kill9();
    agent.child.stdin.write("go\n");
    await agent.complained(/result not stored yet/);
    await nats.restart();
    await resultCount(1);
    expect(results[0]).toMatchObject({ step: "a", status: "done", outputs: { told: true } });
  });

  it("finishes what runs on SIGTERM and ends with code 0", async () => {
    const agent = await startAgent();
    await push({ step: "a", task: "until_told" });
    await agent.said(({ event }) => event === "ran");
    agent.child.kill("SIGTERM");
    await push({ step: "later", task: "count", inputs: { text: "no" } });
    agent.child.stdin.write("go\n");
    expect(await agent.exit).toBe(0);
    await resultCount(1);
    expect(results.map(({ step }) => step)).toEqual(["a"]);
    expect(await bus.tasks.has({ run: RUN, step: "later", n: 1, role: ROLE })).toBe(true);
  });

  it("says what to do when its role has no JSON queue, and joins once it has", async () => {
    encoding = "msgpack";
    const agent = spawnAgent();
    await agent.complained(/datahammer roles add words --encoding json/);
    encoding = "json";
    await agent.said(({ event }) => event === "ready");
  });

  it("ends with code 4 when there is no broker at the address", async () => {
    await nats.kill9();
    const agent = spawnAgent();
    await agent.complained(/cannot connect to nats:/);
    expect(await agent.exit).toBe(4);
  });
});

interface Line {
  event: string;
  step?: string;
  agents?: { id: string }[];
}

interface PythonAgent {
  id: string;
  child: ChildProcessByStdio<Writable, Readable, Readable>;
  lines: Line[];
  exit: Promise<number | null>;
  said(what: (line: Line) => boolean): Promise<void>;
  /** Waits for a line on its standard error. */
  complained(what: RegExp): Promise<void>;
}

function spawnAgent(): PythonAgent {
  const script = fileURLToPath(new URL("./agent_with_tasks.py", import.meta.url));
  const child = spawn(python.command, [script, "--nats", nats.url, "--token", nats.token], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...python.env, PYTHONDONTWRITEBYTECODE: "1" },
  });
  const lines: Line[] = [];
  const complaints: string[] = [];
  const listeners = new Set<() => void>();
  const heard = () => {
    for (const listener of [...listeners]) listener();
  };
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(JSON.parse(line));
    heard();
  });
  createInterface({ input: child.stderr }).on("line", (line) => {
    complaints.push(line);
    heard();
  });
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  const until = (holds: () => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = () => {
        if (!holds()) return;
        listeners.delete(look);
        resolve();
      };
      listeners.add(look);
      void exit.then((code) => reject(new Error(`the agent ended with ${code}:\n${complaints.join("\n")}`)));
      look();
    });
  const agent: PythonAgent = {
    id: "",
    child,
    lines,
    exit,
    said: (what) => until(() => lines.some(what)),
    complained: (what) => until(() => complaints.some((line) => what.test(line))),
  };
  agents.push(agent);
  return agent;
}

async function startAgent(): Promise<PythonAgent> {
  const agent = spawnAgent();
  await agent.said(({ event }) => event === "ready");
  agent.id = agent.lines[0]?.agents?.[0]?.id ?? "";
  return agent;
}

async function endOf(agent: PythonAgent): Promise<void> {
  agent.child.kill("SIGTERM");
  expect(await agent.exit).toBe(0);
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

/** Asks until the task has left its queue; bounded by the test's own time-out. */
async function taskGone(step: string): Promise<void> {
  while (await bus.tasks.has({ run: RUN, step, n: 1, role: ROLE }));
}

async function push(task: Pick<TaskMessage, "step" | "task"> & Partial<TaskMessage>): Promise<void> {
  await bus.tasks.push({
    v: 1,
    run: RUN,
    n: 1,
    role: ROLE,
    inputs: {},
    attempt: 1,
    idempotencyKey: `${RUN}:${task.step}`,
    outputs: [],
    ...task,
  });
}
