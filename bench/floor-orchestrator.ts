/** The floor's first process: publishes tasks and counts the live copies of their results. */
import { connect, type NatsConnection } from "nats";
import { encodeBody } from "../src/bus/codec.ts";
import type { TaskMessage } from "../src/bus/messages.ts";
import { subjectsOf } from "../src/bus/subjects.ts";
import { serveParent } from "./child-process.ts";
import { ROLE, type Shape, TASK } from "./subject.ts";

let nc: NatsConnection | undefined;
let subjects = subjectsOf("floor");

async function start({ url, token, swarm }: { url: string; token: string; swarm: string }): Promise<void> {
  nc = await connect({ servers: url, token, noAsyncTraces: true });
  subjects = subjectsOf(swarm);
}

async function run({ run, shape }: { run: string; shape: Shape }): Promise<void> {
  const connection = nc as NatsConnection;
  const { steps } = shape;
  const tasks = Array.from({ length: steps }, (_, index) => taskMessage(run, `s${index}`));
  let published = 0;
  let answered = 0;
  let finished = 0;
  let finish: () => void = () => undefined;
  const done = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const inbox = `_INBOX.floor.${run}`;
  const publishNext = () => {
    const task = tasks[published++];
    if (task !== undefined) connection.publish(task.subject, task.bytes, { reply: inbox });
  };
  const progress = () => {
    if (finished === steps && answered === steps) finish();
  };
  const answers = connection.subscribe(inbox, {
    callback: () => {
      answered++;
      progress();
    },
  });
  const results = connection.subscribe(subjects.liveRecord(run, { kind: "result", role: ROLE }), {
    callback: () => {
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
