/**
 * The floor's first process: publishes tasks and counts the live copies of their results.
 *
 * With `thorough` it also does what no runtime of this kind can leave out: it encodes each task when it is
 * due, reads the stream's answers, decodes and checks each result, and moves the step's machine.
 */
import { connect, type Msg, type NatsConnection } from "nats";
import { encodeBody } from "../src/bus/codec.ts";
import type { TaskMessage } from "../src/bus/messages.ts";
import { decodeRecord } from "../src/bus/record.ts";
import { subjectsOf } from "../src/bus/subjects.ts";
import { type StepEvent, type StepSnapshot, stepLogic } from "../src/machines/step.ts";
import { serveParent } from "./child-process.ts";
import { ROLE, type Shape, TASK } from "./subject.ts";

let nc: NatsConnection | undefined;
let subjects = subjectsOf("floor");
let thorough = false;

async function start(options: {
  url: string;
  token: string;
  swarm: string;
  thorough: boolean;
}): Promise<void> {
  nc = await connect({ servers: options.url, token: options.token, noAsyncTraces: true });
  subjects = subjectsOf(options.swarm);
  thorough = options.thorough;
}

async function run({ run, shape }: { run: string; shape: Shape }): Promise<void> {
  const connection = nc as NatsConnection;
  const { steps } = shape;
  const tasks = thorough
    ? undefined
    : Array.from({ length: steps }, (_, index) => taskMessage(run, `s${index}`));
  const machines = new Map<string, StepSnapshot>();
  let published = 0;
  let answered = 0;
  let finished = 0;
  let finish: () => void = () => undefined;
  const done = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const inbox = `_INBOX.${subjects.swarm}.${run}`;
  const publishNext = () => {
    if (published === steps) return;
    const step = `s${published}`;
    const task = tasks?.[published] ?? taskMessage(run, step);
    published++;
    connection.publish(task.subject, task.bytes, { reply: inbox });
    if (thorough) machines.set(step, moved(undefined, step, { type: "dependencies met" }));
  };
  const progress = () => {
    if (finished === steps && answered === steps) finish();
  };
  const answers = connection.subscribe(inbox, {
    callback: (_, answer) => {
      if (thorough && answer.json<{ seq?: number }>().seq === undefined) throw new Error(answer.string());
      answered++;
      progress();
    },
  });
  const results = connection.subscribe(subjects.liveRecord(run, { kind: "result", role: ROLE }), {
    callback: (_, copy) => {
      if (thorough) settle(run, copy, machines);
      finished++;
      publishNext();
      progress();
    },
  });
  // Where the clock starts, in the log as for the runtime.
  connection.publish(subjects.record(run, { kind: "submit" }), "{}");
  const first = shape.kind === "chain" ? 1 : Math.min(shape.inFlight, steps);
  for (let index = 0; index < first; index++) publishNext();
  await done;
  answers.unsubscribe();
  results.unsubscribe();
}

/** Decodes and checks a result, and moves the step that it ends. */
function settle(run: string, copy: Msg, machines: Map<string, StepSnapshot>): void {
  const seq = Number(copy.headers?.get("Nats-Sequence"));
  const record = decodeRecord({ run, subject: copy.subject, seq, ts: Date.now() }, copy.data);
  if (record.kind !== "result") throw new Error(`not a result: ${record.kind}`);
  const { step, agent } = record.body;
  const running = moved(machines.get(step), step, { type: "start", agent });
  machines.set(step, moved(running, step, { type: "complete" }));
}

function moved(before: StepSnapshot | undefined, id: string, event: StepEvent): StepSnapshot {
  const snapshot = before ?? stepLogic.initial({ id, role: ROLE, task: TASK, maxAttempts: 3 });
  return stepLogic.next(snapshot, event);
}

function taskMessage(run: string, step: string): { subject: string; bytes: Uint8Array } {
  const task: TaskMessage = {
    v: 1,
    run,
    step,
    n: 1,
    role: ROLE,
    task: TASK,
    inputs: {},
    attempt: 1,
    idempotencyKey: `${run}:${step}`,
    outputs: [],
  };
  return { subject: subjects.task(task), bytes: encodeBody(task) };
}

serveParent({ start, run }, async () => nc?.close());
