/**
 * How the runs of a daemon share the queues of the roles.
 * Catches: a large run that keeps a small one waiting until it is done, a turn that nobody takes and that holds
 * everybody up, a queue that is kept so short that its agents have nothing to do, a step that fails as lost because its
 * queue has no room.
 */
import { describe, expect, it } from "vitest";
import { RoleShares, type Sharer, WINDOW } from "../../src/actors/role-shares.ts";
import { UnreachableError } from "../../src/workflow/errors.ts";
import { settle, VirtualClock } from "../bus/virtual-clock.ts";
import { SwarmStage } from "./swarm-stage.ts";

const role = "worker";

/** A run that wants to give out so many tasks, and notes which tickets it got. */
function run(shares: RoleShares, wanted: number): Sharer & { tickets: number[]; act(): void } {
  const share = shares.of(role);
  const tickets: number[] = [];
  return {
    tickets,
    act() {
      while (tickets.length < wanted && share.mayGive(this)) tickets.push(share.give());
    },
    takeTurn() {
      if (tickets.length < wanted) tickets.push(share.give());
      return tickets.length < wanted;
    },
  };
}

describe("the share of a role", () => {
  it("is a window of tasks that wait, and what leaves the queue is followed at once", async () => {
    const shares = new RoleShares(new VirtualClock());
    const large = run(shares, 1_000);
    large.act();
    expect(large.tickets).toHaveLength(WINDOW.first);
    shares.of(role).take(5);
    await settle();
    expect(large.tickets).toHaveLength(WINDOW.first + 5);
  });

  it("goes round among the runs that want it, one task each", async () => {
    const shares = new RoleShares(new VirtualClock());
    const large = run(shares, 1_000);
    large.act();
    const small = run(shares, 5);
    const other = run(shares, 5);
    small.act();
    other.act();
    expect(small.tickets).toEqual([]);
    shares.of(role).take(6);
    await settle();
    expect(large.tickets.length - WINDOW.first).toBe(2);
    expect([small.tickets.length, other.tickets.length]).toEqual([2, 2]);
  });

  it("passes over a run that left, or has nothing more to give", async () => {
    const shares = new RoleShares(new VirtualClock());
    const large = run(shares, 1_000);
    large.act();
    const idle: Sharer = { takeTurn: () => false };
    const gone: Sharer = { takeTurn: () => expect.unreachable("it has left") };
    for (const sharer of [idle, gone]) expect(shares.of(role).mayGive(sharer)).toBe(false);
    shares.leave(gone);
    shares.of(role).take(5);
    await settle();
    expect(large.tickets).toHaveLength(WINDOW.first + 5);
  });

  it("becomes as small as slow agents need, and as large as fast ones do", async () => {
    const clock = new VirtualClock();
    const shares = new RoleShares(clock);
    const large = run(shares, 100_000);
    large.act();
    const share = shares.of(role);
    const drain = async (perSecond: number, seconds: number) => {
      for (let at = 0; at < seconds * 10; at++) {
        await clock.advance(100);
        share.take((large.tickets.at(-1) ?? 0) - share.waiting + perSecond / 10);
        await settle();
      }
    };
    await drain(300, 4);
    expect(share.window).toBe(75);
    await drain(10, 4);
    expect(share.window).toBe(WINDOW.least);
  });

  it("opens while it is emptied, so that it fills however many agents come at once", async () => {
    const shares = new RoleShares(new VirtualClock());
    const large = run(shares, 100_000);
    large.act();
    const share = shares.of(role);
    const windows = [];
    for (let taken = 0; taken < 250; taken = large.tickets.length - share.waiting) {
      windows.push(share.window);
      share.take(large.tickets.length);
      await settle();
    }
    expect(windows).toEqual([8, 16, 32, 64, 128, 256]);
  });
});

it("a run of five steps ends long before one of two thousand that was there first", async () => {
  const stage = new SwarmStage();
  await stage.serve(role, 8);
  await stage.daemon();
  const step = (id: string, more: object = {}) => ({ id, agent: role, task: "work", ...more });
  const wide = Array.from({ length: 2_000 }, (_, at) => step(`s${at}`));
  const chain = Array.from({ length: 5 }, (_, at) =>
    step(`c${at}`, at === 0 ? {} : { dependsOn: [`c${at - 1}`] }),
  );
  await stage.submit({ maxParallel: 10_000, steps: wide }, "large");
  await stage.submit({ steps: chain }, "small");
  let answered = 0;
  while ((await stage.fold("small")).status !== "done") {
    const [next] = stage.taken.get(role) ?? [];
    if (next === undefined) throw new Error("nothing is in hand");
    await stage.answer(role, { step: next.task.step });
    await stage.clock.advance(5);
    answered += 1;
  }
  // Those in hand, what waited, and then a quarter of a second each time; not the two thousand.
  expect(answered).toBeLessThan(150);
});

it("a role whose queue is full holds up no other", async () => {
  const stage = new SwarmStage();
  await stage.bus.tasks.ensureRole({ role: "absent" });
  await stage.serve(role);
  await stage.daemon();
  const many = Array.from({ length: 400 }, (_, at) => ({
    id: `a${at}`,
    agent: "absent",
    task: "work",
    priority: 1,
  }));
  await stage.submit({ maxParallel: 1_000, steps: [...many, { id: "b", agent: role, task: "work" }] });
  expect(stage.inHand(role)).toEqual(["b#1"]);
  const absent = (await stage.bus.tasks.roles()).find((one) => one.role === "absent");
  expect(absent?.queued).toBe(WINDOW.first);
});

it("a run that is retried while its end is cleared away keeps its place, and gives it back", async () => {
  const stage = new SwarmStage();
  await stage.serve(role);
  const { bus } = await stage.daemon(undefined, { first: 1, least: 1, most: 1 });
  const { removeRun } = bus.tasks;
  let goOn = (): void => expect.unreachable("nothing is cleared away");
  bus.tasks.removeRun = async (run) => {
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    return removeRun.call(bus.tasks, run);
  };
  await stage.submit({ steps: [{ id: "s0", agent: role, task: "work" }] });
  await stage.answer(role, {
    status: "failed",
    error: { name: "Error", message: "no", retryable: false },
  });
  expect((await stage.fold()).status).toBe("failed");
  await stage.bus.log.append("r1", { kind: "control", body: { v: 1, verb: "retry", by: "ada" } });
  // Long enough for the note of what was given out again.
  await stage.clock.advance(200);
  expect(stage.inHand(role)).toEqual(["s0#2"]);
  goOn();
  await stage.clock.advance(200);
  await stage.submit({ steps: [{ id: "other", agent: role, task: "work" }] }, "r2");
  expect(stage.inHand(role)).toEqual(["s0#2"]);
  await stage.answer(role, { step: "s0" });
  expect(stage.inHand(role)).toEqual(["other#1"]);
});

it("a role's bound holds over two daemons together", async () => {
  const stage = new SwarmStage();
  await stage.bus.tasks.ensureRole({ role, inFlight: 3 });
  await stage.serve(role);
  const first = await stage.daemon();
  const steps = Array.from({ length: 8 }, (_, at) => ({ id: `s${at}`, agent: role, task: "work" }));
  await stage.submit({ steps }, "r1");
  expect(first.agent.runs).toEqual(["r1"]);
  const second = await stage.daemon();
  for (const run of ["r2", "r3", "r4", "r5"]) await stage.submit({ steps }, run);
  expect(first.agent.runs.length + second.agent.runs.length).toBe(5);
  expect(second.agent.runs.length).toBeGreaterThan(0);
  for (let at = 0; at < 40; at++) {
    expect(stage.inHand(role).length).toBeLessThanOrEqual(3);
    const [next] = stage.taken.get(role) ?? [];
    await stage.answer(role, { step: next?.task.step ?? "" });
  }
  for (const run of ["r1", "r2", "r3", "r4", "r5"]) expect((await stage.fold(run)).status).toBe("done");
});

it("a queue that had no room for ten minutes is filled again within a second of having some, and nothing was lost", async () => {
  const stage = new SwarmStage();
  await stage.serve(role);
  const { bus } = await stage.daemon();
  const push = bus.tasks.push.bind(bus.tasks);
  let isFull = true;
  bus.tasks.push = async (task) => {
    if (isFull) throw new UnreachableError("E_BROKER_FULL", "the broker has no room");
    return push(task);
  };
  await stage.submit({ steps: [{ id: "a", agent: role, task: "work" }] });
  await stage.clock.advance(600_000);
  expect(stage.inHand(role)).toEqual([]);
  isFull = false;
  await stage.clock.advance(1_000);
  expect(stage.inHand(role)).toEqual(["a#1"]);
});
