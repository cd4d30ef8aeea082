/**
 * The floor's second process: pulls tasks, publishes a result for each, acks it once that is stored.
 *
 * With `thorough` it also decodes and checks each task, and encodes its result when it is due.
 */
import { connect, headers, type NatsConnection } from "nats";
import { encodeBody, parseBody } from "../src/bus/codec.ts";
import { type ResultMessage, taskSchema } from "../src/bus/messages.ts";
import { subjectsOf } from "../src/bus/subjects.ts";
import { serveParent } from "./child-process.ts";
import { ROLE } from "./subject.ts";

let nc: NatsConnection | undefined;

/** A result as the runtime's agents write it; only its size matters here. */
const RESULT: ResultMessage = {
  v: 1,
  run: "bench-run-00",
  step: "s1000",
  n: 1,
  agent: "bench-agent",
  status: "done",
  outputs: {},
  startedAt: 1_700_000_000_000,
  endedAt: 1_700_000_000_000,
};

async function start(options: {
  url: string;
  token: string;
  swarm: string;
  concurrency: number;
  thorough: boolean;
}): Promise<void> {
  const connection = await connect({ servers: options.url, token: options.token, noAsyncTraces: true });
  nc = connection;
  const subjects = subjectsOf(options.swarm);
  const inbox = `_INBOX.${options.swarm}-worker`;
  const prepared = encodeBody(RESULT);
  const receipts = new Map<string, string>();
  let requested = 0;
  let held = 0;
  let asking = false;
  let nextToken = 0;

  /** One request for all that is free, once per turn of the event loop. */
  const ask = () => {
    if (asking) return;
    asking = true;
    queueMicrotask(() => {
      asking = false;
      const batch = options.concurrency - held - requested;
      if (batch <= 0) return;
      requested += batch;
      connection.publish(
        `$JS.API.CONSUMER.MSG.NEXT.${subjects.tasksStream}.${ROLE}`,
        JSON.stringify({ batch, expires: 3_600_000_000_000 }),
        { reply: `${inbox}.task` },
      );
    });
  };
  connection.subscribe(`${inbox}.answer.*`, {
    callback: (_, answer) => {
      const token = answer.subject.slice(`${inbox}.answer.`.length);
      connection.publish(receipts.get(token) ?? "", "+ACK");
      receipts.delete(token);
      held--;
      ask();
    },
  });
  connection.subscribe(`${inbox}.task`, {
    callback: (_, { subject, reply, data }) => {
      if (reply === undefined) return;
      requested--;
      held++;
      const [role = "", run = "", step, n] = subject.split(".").slice(3);
      const result = options.thorough ? answerTo(data) : prepared;
      const token = (nextToken++).toString(36);
      receipts.set(token, reply);
      const id = headers();
      id.set("Nats-Msg-Id", `${role}:${run}:${step}:${n}`);
      connection.publish(subjects.record(run, { kind: "result", role }), result, {
        headers: id,
        reply: `${inbox}.answer.${token}`,
      });
    },
  });
  ask();
  await connection.flush();
}

/** The result of a task, from the bytes of the one to those of the other. */
function answerTo(data: Uint8Array): Uint8Array {
  const task = parseBody(taskSchema, data);
  if (!task.ok) throw new Error(task.problem);
  const { run, step, n } = task.value;
  return encodeBody({ ...RESULT, run, step, n, endedAt: Date.now() });
}

serveParent({ start }, async () => nc?.close());
