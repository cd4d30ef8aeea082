/**
 * The NATS bus when there is nothing to talk to, the wrong thing, or a server that is killed in the middle.
 * Would catch an append that is lost or stored twice over a kill, a pull that never goes on, a call that
 * hangs, an error without a remedy, and a rejection that nobody handles.
 */
import { connect } from "nats";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Bus, LogRecord, TaskDelivery } from "../../src/bus/bus.ts";
import { connectNatsBus, type NatsBusOptions } from "../../src/bus/nats/bus.ts";
import { UnreachableError } from "../../src/workflow/errors.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";
import { Arrivals } from "./arrivals.ts";
import { claim, ROLE, result, submit, task } from "./messages.ts";

let server: TestNats;
let open: Bus[];
const unhandled: unknown[] = [];
const note = (reason: unknown): void => void unhandled.push(reason);

async function connectBus(options: Partial<NatsBusOptions> = {}): Promise<Bus> {
  const bus = await connectNatsBus({ url: server.url, token: server.token, ...options });
  open.push(bus);
  return bus;
}

beforeEach(async () => {
  open = [];
  unhandled.length = 0;
  process.on("unhandledRejection", note);
  server = await startTestNats();
});
afterEach(async () => {
  await Promise.all(open.map((bus) => bus.close()));
  await server.stop();
  process.off("unhandledRejection", note);
  expect(unhandled).toEqual([]);
});

async function stored(bus: Bus, run: string): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for await (const record of bus.log.read(run)) records.push(record);
  return records;
}

describe("without a daemon", () => {
  test("every call says to start one", async () => {
    const client = await connectBus();
    const calls: (() => Promise<unknown>)[] = [
      () => client.log.append("run-1", submit(), { expectLast: 0 }),
      () => client.log.exists("run-1"),
      () => client.log.list(),
      () => stored(client, "run-1"),
      () => client.tasks.push(task("load")),
      () => client.tasks.roles(),
      () => client.tasks.ensureRole({ role: ROLE }),
      () => client.runs.push("run-1"),
      () => client.artifacts.put("run-1", new Uint8Array(1)),
      () => client.index.list(),
    ];
    for (const call of calls) {
      await expect(call()).rejects.toMatchObject({
        code: "E_NO_SWARM",
        remedy: expect.stringContaining("datahammer up"),
      });
    }
    expect(await client.presence.list()).toEqual([]);
  });

  test("an agent that pulls gets its task when the daemon has come", async () => {
    const agent = await connectBus();
    const deliveries = new Arrivals<TaskDelivery>();
    agent.tasks.pull(ROLE, { slots: () => 1 - deliveries.all.length, onDelivery: deliveries.add });
    const daemon = await connectBus({ provision: true });
    await daemon.tasks.ensureRole({ role: ROLE });
    await daemon.tasks.push(task("load"));
    expect((await deliveries.next()).task.step).toBe("load");
  });
});

describe("connecting", () => {
  test("to nothing fails with the address", async () => {
    const { url } = server;
    await server.kill9();
    await expect(connectNatsBus({ url, token: "t" })).rejects.toMatchObject({
      constructor: UnreachableError,
      message: expect.stringContaining(url.replace("nats://", "")),
    });
  });

  test("with the wrong token fails at once and does not show a secret", async () => {
    const refused = connectNatsBus({ url: server.url.replace("//", "//secret@"), token: "wrong" });
    await expect(refused).rejects.toMatchObject({
      code: "E_NOT_ALLOWED",
      message: expect.not.stringContaining("secret"),
    });
  });

  test("provisioning twice, or with other settings, changes what can be changed", async () => {
    await connectBus({ provision: true });
    const daemon = await connectBus({ provision: true, logMaxAgeMs: 3_600_000, runAckWaitMs: 2_000 });
    expect(await daemon.log.append("run-1", submit())).toMatchObject({ ok: true });
    const raw = await connect({ servers: server.url, token: server.token });
    const info = await raw.request("$JS.API.STREAM.INFO.dh_main_log", "");
    expect(info.json()).toMatchObject({
      config: { max_age: 3_600_000_000_000, republish: { dest: "dh.main.log.>" } },
    });
    await raw.close();
  });

  test("to a broker on which another program holds the stream's name says which option differs", async () => {
    const raw = await connect({ servers: server.url, token: server.token });
    const foreign = {
      name: "dh_main_tasks",
      subjects: ["dh.main.task.>"],
      retention: "limits",
      storage: "file",
    };
    await raw.request("$JS.API.STREAM.CREATE.dh_main_tasks", JSON.stringify(foreign));
    await raw.close();
    await expect(
      connectNatsBus({ url: server.url, token: server.token, provision: true }),
    ).rejects.toMatchObject({
      message: expect.stringContaining("dh_main_tasks"),
      remedy: expect.any(String),
    });
  });
});

test("a role of JSON has JSON in its queue, one of MessagePack has not", async () => {
  const daemon = await connectBus({ provision: true });
  const other = await connectBus();
  await daemon.tasks.ensureRole({ role: "python", encoding: "json" });
  await daemon.tasks.ensureRole({ role: "node" });
  await other.tasks.push(task("load", { role: "python" }));
  await other.tasks.push(task("load", { role: "node" }));
  const raw = await connect({ servers: server.url, token: server.token });
  const firstByte = async (subject: string): Promise<number | undefined> => {
    const answer = await raw.request(
      "$JS.API.STREAM.MSG.GET.dh_main_tasks",
      JSON.stringify({ last_by_subj: subject }),
    );
    return Buffer.from(answer.json<{ message: { data: string } }>().message.data, "base64")[0];
  };
  expect(await firstByte("dh.main.task.python.run-1.load.1")).toBe("{".charCodeAt(0));
  expect(await firstByte("dh.main.task.node.run-1.load.1")).not.toBe("{".charCodeAt(0));
  await raw.close();
});

describe("a server that is killed and comes back", () => {
  test("has every append that resolved, each once; a chain of decisions goes on unbroken", async () => {
    const daemon = await connectBus({ provision: true });
    const witness = await connectBus();
    const live = new Arrivals<LogRecord>();
    await (await witness.log.follow("run-1", live.add)).caughtUp;
    const resolved = new Arrivals<number>();
    const chain = async (): Promise<void> => {
      for (let index = 0, last = 0; index < 150; index++) {
        const outcome = await untilReached(() =>
          daemon.log.append("run-1", claim(`claim-${index}`), { expectLast: last }),
        );
        if (!outcome.ok) throw new Error(`claim-${index} met a stranger at ${outcome.lastSeq}`);
        last = outcome.seq;
        resolved.add(last);
      }
    };
    const results = async (): Promise<void> => {
      for (let index = 0; index < 150; index++) {
        // An append that rejected may be in the log (B1): a result's author says which one it is.
        const once = { id: `step-${index}` };
        await untilReached(() => daemon.log.append("run-1", result("run-1", `step-${index}`), once));
      }
    };
    const writing = Promise.all([chain(), results()]);
    await resolved.count(30);
    await server.kill9();
    await server.restart();
    await resolved.count(80);
    await server.kill9();
    await server.restart();
    await writing;
    const records = await stored(daemon, "run-1");
    const ids = records.flatMap((record) => (record.kind === "decision" ? [record.body.id] : []));
    expect(ids).toEqual(Array.from({ length: 150 }, (_, index) => `claim-${index}`));
    const steps = records.flatMap((record) => (record.kind === "result" ? [record.body.step] : []));
    expect(steps).toEqual(Array.from({ length: 150 }, (_, index) => `step-${index}`));
    await live.count(300);
    expect(live.all.map(({ seq }) => seq)).toEqual(records.map(({ seq }) => seq));
  });

  test("gives out the tasks that it had, to pullers that were there before", async () => {
    const daemon = await connectBus({ provision: true });
    const agent = await connectBus();
    await daemon.tasks.ensureRole({ role: ROLE, ackWaitMs: 1_000 });
    const deliveries = new Arrivals<TaskDelivery>();
    let free = 3;
    const puller = agent.tasks.pull(ROLE, {
      slots: () => free,
      onDelivery: (delivery) => {
        free--;
        deliveries.add(delivery);
      },
    });
    for (let index = 0; index < 3; index++) await daemon.tasks.push(task(`before-${index}`));
    await deliveries.count(3);
    await server.kill9();
    await server.restart();
    free = 100;
    puller.wake();
    await untilReached(() => daemon.tasks.push(task("after")));
    const wanted = new Set(["before-0", "before-1", "before-2", "after"]);
    const again = (): Set<string> => new Set(deliveries.all.slice(3).map((delivery) => delivery.task.step));
    await deliveries.when(() => again().size === wanted.size);
    expect(again()).toEqual(wanted);
    // Held before the kill: whoever gets them again must see that somebody had them.
    const counts = deliveries.all.slice(3).filter((delivery) => delivery.task.step !== "after");
    expect(counts.every(({ deliveryCount }) => deliveryCount > 1)).toBe(true);
  });

  test("is reported as gone and as back, and calls meanwhile end with an error", async () => {
    const daemon = await connectBus({ provision: true });
    const changes = new Arrivals<string>();
    daemon.onStatus((status) => changes.add(status));
    await server.kill9();
    expect(await changes.next()).toBe("reconnecting");
    expect(await daemon.live.ask({ ...task("load") }, { q: "open" }, 200)).toBeUndefined();
    await server.restart();
    expect(await changes.next()).toBe("connected");
    expect(await daemon.log.exists("run-1")).toBe(false);
  });

  test("does not keep a bus from closing while it is away", async () => {
    const daemon = await connectBus({ provision: true });
    await daemon.log.follow("run-1", () => undefined);
    daemon.tasks.pull(ROLE, { slots: () => 1, onDelivery: () => undefined });
    const pending = daemon.log.append("run-1", submit());
    await pending;
    await server.kill9();
    const lost = daemon.log.append("run-1", submit());
    const outcome = expect(lost).rejects.toThrow(UnreachableError);
    await daemon.close();
    await outcome;
    expect(daemon.status()).toBe("closed");
  });
});

/** What a caller does with an error that says to try again. */
async function untilReached<Value>(call: () => Promise<Value>): Promise<Value> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
    }
  }
}

test("a queue that is full refuses a task with the way out, and takes it once there is room", async () => {
  const bus = await connectBus({ provision: true });
  const admin = await connect({ servers: server.url, token: server.token });
  const { config } = (await admin.request("$JS.API.STREAM.INFO.dh_main_tasks")).json<{ config: object }>();
  await admin.request("$JS.API.STREAM.UPDATE.dh_main_tasks", JSON.stringify({ ...config, max_msgs: 1 }));
  await admin.close();
  await bus.tasks.ensureRole({ role: ROLE });
  expect(await bus.tasks.push(task("first"))).toBe("queued");
  expect(await bus.tasks.push(task("first"))).toBe("present");
  const refused = await bus.tasks.push(task("second")).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(UnreachableError);
  expect(refused).toMatchObject({ code: "E_BROKER_FULL" });
  await bus.tasks.remove(task("first"));
  expect(await bus.tasks.push(task("second"))).toBe("queued");
});
