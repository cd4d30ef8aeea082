/**
 * Results that must not count, over a real broker: twice, too late, for another dispatch, after the end.
 * Catches: a step that completes twice, a result that is dropped instead of being shown as what it is, and a control of
 * a run that has ended and leaves a daemon holding it.
 */
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Bus, LogRecord, TaskDelivery } from "../../src/bus/bus.ts";
import type { ResultMessage } from "../../src/bus/messages.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { type Daemon, startDaemon } from "../../src/daemon/daemon.ts";
import { replay } from "../../src/trace/replay.ts";
import { Arrivals } from "../bus/arrivals.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

let nats: TestNats;
let daemon: Daemon;
let bus: Bus;
let tasks: Arrivals<TaskDelivery>;
beforeEach(async () => {
  nats = await startTestNats();
  const log = pino({ level: "silent" });
  daemon = await startDaemon({ swarm: "main", store: nats.store, env: {}, log, product: "0", nats });
  bus = await connectNatsBus({ url: nats.url, token: nats.token });
  await bus.tasks.ensureRole({ role: "worker", ackWaitMs: 10_000 });
  tasks = new Arrivals();
  bus.tasks.pull("worker", { slots: () => 10 - tasks.all.length, onDelivery: tasks.add });
});
afterEach(async () => {
  await bus.close();
  await daemon.stop();
  await nats.stop();
});

const workflow = {
  steps: [
    {
      id: "a",
      agent: "worker",
      task: "work",
      outputs: ["a"],
      timeout: "2s",
      retry: { maxAttempts: 2, initial: "1ms" },
    },
    { id: "b", agent: "worker", task: "work", outputs: ["b"], dependsOn: ["a"] },
  ],
};

async function submit(): Promise<void> {
  await bus.log.append("r1", { kind: "submit", body: { v: 1, workflow, inputs: {} } }, { expectLast: 0 });
}

async function report(
  step: string,
  n: number,
  more: Partial<ResultMessage> = {},
  role = "worker",
): Promise<void> {
  const body = {
    v: 1,
    run: "r1",
    step,
    n,
    agent: "hand",
    status: "done",
    outputs: { [step]: n },
    ...more,
  } as const;
  await bus.log.append("r1", { kind: "result", role, body });
}

/** Waits for the record, then gives the whole trace so far. */
async function traceAfter(wanted: (record: LogRecord) => boolean) {
  const records: LogRecord[] = [];
  await new Promise<void>((resolve) => {
    void bus.log.follow("r1", (record) => {
      records.push(record);
      if (wanted(record)) resolve();
    });
  });
  return replay("r1", records);
}
const isEnd = (record: LogRecord): boolean => record.kind === "decision" && record.body.type === "end";

it("of all that comes for a dispatch one result counts, and the rest is shown as what it is", async () => {
  await submit();
  const first = await tasks.next();
  expect(first.task).toMatchObject({ step: "a", n: 1 });
  // Begun, so that its time-out is an attempt and not an absent role.
  bus.live.publish({ type: "started", run: "r1", step: "a", n: 1, agent: "hand", role: "worker" });
  await report("a", 7); // A dispatch of the future.
  await report("a", 1, {}, "stranger");
  await report("nowhere", 1);
  // Nobody answers in time; the result of the first dispatch comes while the second is out.
  expect((await tasks.next()).task).toMatchObject({ step: "a", n: 2, attempt: 2 });
  await report("a", 1);
  await report("a", 2);
  await report("a", 2);
  // A zombie's late ack of the first dispatch takes nothing from anybody.
  first.ack();
  expect((await tasks.next()).task).toMatchObject({ step: "b", n: 1 });
  await report("b", 1);
  await traceAfter(isEnd);
  await report("b", 1);
  let ofB = 0;
  const { fold, voids, transitions } = await traceAfter(
    (record) => record.kind === "result" && record.body.step === "b" && ++ofB === 2,
  );
  expect(fold.status).toBe("done");
  expect(fold.environment.values).toEqual({ a: 2, b: 1 });
  expect(voids.map(({ verdict, step }) => `${verdict} ${step}`)).toEqual([
    ...["foreign a", "foreign a", "foreign nowhere", "late a", "late a", "late b"],
  ]);
  const completed = transitions.filter(({ event }) => event === "complete").map(({ actor }) => actor);
  expect(completed).toEqual(["a", "b"]);
});

it("a result for a cancelled run is late, and a control of a run that has ended is refused and lets it be", async () => {
  await submit();
  await tasks.next();
  const control = (verb: "cancel" | "resume") =>
    bus.log.append("r1", { kind: "control", body: { v: 1, verb, by: "hand" } });
  await control("cancel");
  await traceAfter(isEnd);
  await report("a", 1);
  await control("resume");
  const { fold, voids } = await traceAfter(
    (record) => record.kind === "control" && record.body.verb === "resume",
  );
  expect(fold.status).toBe("cancelled");
  expect(voids.map(({ verdict }) => verdict)).toEqual(["late", "refused"]);
  // Nobody holds it: its place in the queue is free, or becomes so.
  while ((await bus.runs.push("r1")) === "present") await new Promise(setImmediate);
});
