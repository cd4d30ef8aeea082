/**
 * Looking after the copies of queues, against a cluster that only answers what a test says.
 * Catches: a queue that is made with other settings than it had, one that is removed and not made again because the
 * removal was not answered, and questions to a server that is no cluster.
 */
import { expect, it } from "vitest";
import { ApiRefusal } from "../../src/bus/nats/failure.ts";
import type { NatsLink } from "../../src/bus/nats/link.ts";
import { QueueGroups } from "../../src/bus/nats/queue-groups.ts";
import { NatsRoles } from "../../src/bus/nats/roles.ts";
import { subjectsOf } from "../../src/bus/subjects.ts";
import { UnreachableError } from "../../src/workflow/errors.ts";

const CONFIG = { durable_name: "counter", ack_wait: 20_000_000_000, max_ack_pending: 7, num_replicas: 0 };
const wholeGroup = { leader: "a", replicas: ["b", "c"].map((name) => ({ name, current: true })) };
const leaderless = new ApiRefusal("CONSUMER.INFO", { code: 503, err_code: 10008 });
const noAnswer = new UnreachableError("E_TIMEOUT", "no answer");

/** The role `counter` is as told; every other queue is whole. */
function cluster(isCluster = true) {
  let counter: object | Error = wholeGroup;
  const asked: string[] = [];
  const done: { verb: string; config?: unknown }[] = [];
  const api = async (subject: string, body?: { config?: unknown }): Promise<unknown> => {
    asked.push(subject);
    const [, verb] = /^(CONSUMER\.(?:NAMES|INFO|DELETE|DURABLE\.CREATE)|STREAM\.INFO)\./.exec(subject) ?? [];
    if (verb === "CONSUMER.NAMES") return { total: 1, consumers: ["counter"] };
    if (verb === "STREAM.INFO") return { cluster: wholeGroup };
    if (verb === "CONSUMER.INFO") {
      if (!subject.endsWith(".counter")) return { name: "other", config: {}, cluster: wholeGroup };
      if (counter instanceof Error) throw counter;
      return { name: "counter", config: CONFIG, cluster: counter };
    }
    expect(subject.endsWith(".dh_main_tasks.counter")).toBe(true);
    done.push({ verb: verb ?? subject, ...(body?.config === undefined ? {} : { config: body.config }) });
    throw noAnswer;
  };
  const link = {
    nc: { info: isCluster ? { cluster: "test" } : {} },
    subjects: subjectsOf("main"),
    api,
    guard: (_what: string, call: () => Promise<unknown>) => call(),
  } as unknown as NatsLink;
  const groups = new QueueGroups(link, new NatsRoles(link));
  const looks = async (count: number, now: object | Error) => {
    counter = now;
    let troubles = await groups.tend();
    for (let look = 1; look < count; look++) troubles = await groups.tend();
    return troubles;
  };
  return { asked, done, looks };
}

it("a server that stays out is brought back with the settings that the queue has", async () => {
  const { done, looks } = cluster();
  const out = {
    leader: "a",
    replicas: [
      { name: "b", current: true },
      { name: "c", current: false, lag: 9 },
    ],
  };
  expect(await looks(2, out)).toEqual([]);
  expect(await looks(1, out)).toMatchObject([{ queue: "counter", kind: "thinned", helped: 1 }]);
  expect(done).toEqual([{ verb: "CONSUMER.DURABLE.CREATE", config: CONFIG }]);
  expect(await looks(1, wholeGroup)).toEqual([]);
});

it("a queue without a leader is declared, then made anew as it was, whether that is answered or not", async () => {
  const { done, looks } = cluster();
  await looks(1, wholeGroup);
  expect(await looks(2, leaderless)).toMatchObject([{ queue: "counter", kind: "stalled", helped: 1 }]);
  expect(await looks(2, leaderless)).toMatchObject([{ queue: "counter", kind: "stalled", helped: 2 }]);
  const declared = { verb: "CONSUMER.DURABLE.CREATE", config: CONFIG };
  expect(done).toEqual([declared, { verb: "CONSUMER.DELETE" }, declared]);
});

it("a queue whose settings nobody has told is left as it is, and said to stall", async () => {
  const { done, looks } = cluster();
  expect(await looks(10, leaderless)).toMatchObject([{ queue: "counter", kind: "stalled" }]);
  expect(done).toEqual([]);
});

it("a cluster that is whole costs one question for each queue, and a server of its own none", async () => {
  const { asked, looks } = cluster();
  await looks(1, wholeGroup);
  expect(asked).toHaveLength(1 + 5);
  const single = cluster(false);
  expect(await single.looks(3, leaderless)).toEqual([]);
  expect(single.asked).toEqual([]);
});
