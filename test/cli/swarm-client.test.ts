/**
 * The client on the memory bus: would catch a client that reports what the log does not say, ends a watch too
 * early or never, or takes an id twice.
 */
import { describe, expect, it } from "vitest";
import type { BusStatus, Clock } from "../../src/bus/bus.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import { InvalidInputError, NotFoundError, UnreachableError } from "../../src/workflow/errors.ts";

const WORKFLOW = { name: "wf", steps: [{ id: "a", agent: "x", task: "t" }] };

async function swarm() {
  const broker = createMemoryBroker({ clock: systemClock });
  const bus = broker.connect("main");
  const client = await connectSwarm({ bus, by: "tester" });
  const decide = (run: string, body: object, expectLast: number) =>
    bus.log.append(
      run,
      { kind: "decision", body: { v: 1, id: "d", epoch: 1, at: Date.now(), ...body } as never },
      { expectLast },
    );
  return { bus, client, decide };
}

describe("the client of a swarm", () => {
  it("uses an id once, and makes up another for whoever names none", async () => {
    const { client } = await swarm();
    expect(await client.submit({ run: "mine", workflow: WORKFLOW })).toEqual({ run: "mine" });
    await expect(client.submit({ run: "mine", workflow: WORKFLOW })).rejects.toThrow(InvalidInputError);
    const first = await client.submit({ workflow: WORKFLOW });
    const second = await client.submit({ workflow: WORKFLOW });
    expect(first.run).toMatch(/^wf-\d{4}-\d{6}-[a-z2-9]{4}$/);
    expect(second.run).not.toBe(first.run);
  });

  it("refuses what can never run before it is sent", async () => {
    const { client } = await swarm();
    await expect(client.submit({})).rejects.toMatchObject({ code: "E_NOTHING_TO_RUN" });
    await expect(client.submit({ run: "a.b", workflow: WORKFLOW })).rejects.toMatchObject({
      code: "E_RUN_ID",
    });
    // Large inputs are stored beside the submission; a large document is not.
    const tooLarge = { ...WORKFLOW, description: "x".repeat(9 * 1024 * 1024) };
    await expect(client.submit({ workflow: tooLarge })).rejects.toMatchObject({
      code: "E_PAYLOAD_TOO_LARGE",
      remedy: expect.stringContaining("--input-file"),
    });
  });

  it("is not connected to nothing: without a url it says what is missing", async () => {
    await expect(connectSwarm({ nats: "nats://127.0.0.1:1" } as never)).rejects.toMatchObject({
      code: "E_URL",
      remedy: expect.stringContaining("nats://"),
    });
  });

  it("submits nothing while too many runs are open, and says how many may be", async () => {
    const { bus, client } = await swarm();
    bus.runs.count = async () => 20_000;
    await expect(client.submit({ run: "one-more", workflow: WORKFLOW })).rejects.toMatchObject({
      code: "E_BUSY",
      data: { open: 20_000, maxOpenRuns: 20_000 },
    });
    expect(await bus.log.exists("one-more")).toBe(false);
  });

  it("knows no run that has no log", async () => {
    const { client } = await swarm();
    for (const ask of [
      () => client.show("nope"),
      () => client.watch("nope", () => {}),
      () => client.control("nope", { verb: "cancel" }),
      () => client.environment("nope"),
    ]) {
      await expect(ask()).rejects.toThrow(NotFoundError);
    }
  });

  it("watches from the first record, and past an end that a retry has undone, to the end that stands", async () => {
    const { client, decide, bus } = await swarm();
    const { run } = await client.submit({ run: "r", workflow: WORKFLOW });
    await decide(run, { type: "claim", holder: "o" }, 0);
    const result = (n: number, status: "done" | "failed") =>
      bus.log.append(run, {
        kind: "result",
        role: "x",
        body: {
          v: 1,
          run,
          step: "a",
          n,
          agent: "x-1",
          status,
          ...(status === "done"
            ? { outputs: {} }
            : { error: { name: "E", message: "no", retryable: false } }),
        },
      });
    await result(1, "failed");
    await decide(run, { type: "end", status: "failed", error: { code: "E", message: "no" } }, 2);
    await client.control(run, { verb: "retry" });
    const moves: Record<string, string[]> = { run: [], a: [] };
    const watched = client.watch(run, ({ transitions }) => {
      for (const { actor, to } of transitions) moves[actor]?.push(to);
      if (!transitions.some(({ actor, event }) => actor === "a" && event === "reopen")) return;
      void result(2, "done").then(() => decide(run, { type: "end", status: "done" }, 4));
    });
    expect(await watched).toMatchObject({ status: "done", steps: { a: { state: "done", attempts: 1 } } });
    expect(moves).toEqual({
      run: ["running", "failed", "running", "done"],
      a: ["ready", "running", "failed", "ready", "running", "done"],
    });
  });

  it("stops watching when the signal fires, when the listener throws, and when the bus closes", async () => {
    const { client, bus } = await swarm();
    const { run } = await client.submit({ run: "r", workflow: WORKFLOW });
    const over = new AbortController();
    const aborted = client.watch(run, () => over.abort(), { signal: over.signal });
    expect(await aborted).toMatchObject({ status: "running" });
    const offended = client.watch(run, () => {
      throw new RangeError("listener");
    });
    await expect(offended).rejects.toThrow("listener");
    let seen: () => void = () => {};
    const begun = new Promise<void>((resolve) => {
      seen = resolve;
    });
    const closed = client.watch(run, () => seen());
    closed.catch(() => {});
    await begun;
    await bus.close();
    await expect(closed).rejects.toThrow(UnreachableError);
  });

  it("gives up on a broker that stays away, and says that nothing is lost", async () => {
    const { client, bus } = await swarm();
    const { run } = await client.submit({ run: "r", workflow: WORKFLOW });
    let tell: (status: BusStatus, reason: string) => void = () => {};
    const timers: (() => void)[] = [];
    const clock: Clock = {
      ...systemClock,
      setTimeout: (callback) => timers.push(callback),
      clearTimeout: () => {},
    };
    const away = await connectSwarm({
      clock,
      bus: {
        ...bus,
        log: bus.log,
        onStatus: (listener) => {
          tell = listener;
          return { close: () => {} };
        },
      },
    });
    const watched = away.watch(run, () => tell("reconnecting", "connection refused"), { patienceMs: 10 });
    watched.catch(() => {});
    await expect.poll(() => timers.length).toBeGreaterThan(0);
    timers.at(-1)?.();
    await expect(watched).rejects.toMatchObject({
      code: "E_BROKER_AWAY",
      remedy: expect.stringContaining("datahammer watch r"),
    });
  });

  it("tells the log's verdict on a control and on an update of the environment", async () => {
    const { client, decide } = await swarm();
    const { run } = await client.submit({ run: "r", workflow: WORKFLOW, environment: { a: { b: [1, 2] } } });
    const { revision } = await client.environment(run, "a.b.1");
    expect(await client.setEnvironment(run, "a", 5, { ifRevision: revision })).toMatchObject({
      applied: true,
    });
    expect(await client.setEnvironment(run, "a", 6, { ifRevision: revision })).toMatchObject({
      applied: false,
      conflict: { writer: "tester" },
    });
    expect((await client.environment(run)).values).toEqual({ a: 5 });
    await expect(client.environment(run, "a.b")).rejects.toThrow(NotFoundError);
    await decide(run, { type: "claim", holder: "o" }, 0);
    expect(await client.control(run, { verb: "resume" })).toMatchObject({
      applied: false,
      reason: expect.stringContaining("running"),
    });
    expect(await client.control(run, { verb: "pause" })).toEqual({ applied: true });
    expect(await client.show(run)).toMatchObject({ status: "paused" });
  });
});
