/**
 * Tasks are kept in progress on a way of their own, which may come back later than the one they arrive on.
 * Catches: a task that is taken while nothing can keep it, and is given to a second agent for that; an agent that
 * takes no work for ever because of it.
 */
import { afterEach, expect, it } from "vitest";
import type { BusStatus, KeepAlive } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { CuttableProxy } from "../bus/proxy.ts";
import { startTestNats } from "../support/nats.ts";
import { type Stage, setStage, settle } from "./stage.ts";

const ending: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

/** An agent whose way to keep tasks comes back when the test says so, and whose connection does. */
async function tampered() {
  const reached: (() => void)[] = [];
  let tell: (status: BusStatus, reason: string) => void = () => undefined;
  const keepAlive: KeepAlive = {
    hold: () => undefined,
    release: () => undefined,
    close: () => undefined,
    reached: () => new Promise<void>((resolve) => reached.push(resolve)),
  };
  const onStatus = (listener: typeof tell) => {
    tell = listener;
    return { close: () => undefined };
  };
  const began: string[] = [];
  const run = (_inputs: unknown, { step }: { step: string }) => {
    began.push(step);
    return {};
  };
  const stage = await setStage({
    tasks: { work: { run } },
    tamper: (bus: Stage["agentBus"]) => {
      bus.tasks.keepAlive = () => keepAlive;
      bus.onStatus = onStatus;
      return bus;
    },
  });
  const reach = async () => {
    reached.shift()?.();
    await settle();
  };
  return { stage, began, reach, tell: (status: BusStatus) => tell(status, "test") };
}

it("an agent takes a task only once it can keep it, also after its connection came back", async () => {
  const { stage, began, reach, tell } = await tampered();
  await stage.push({ step: "first" });
  expect(began).toEqual([]);
  await reach();
  expect(began).toEqual(["first"]);
  tell("reconnecting");
  tell("connected");
  await stage.push({ step: "second" });
  expect(began).toEqual(["first"]);
  await reach();
  expect(began).toEqual(["first", "second"]);
});

it("an agent that nothing can keep tasks for takes them after a while all the same, and says so", async () => {
  const { stage, began } = await tampered();
  await stage.push({ step: "first" });
  await stage.clock.advance(10_000);
  expect(began).toEqual(["first"]);
  expect(stage.logLines).toContainEqual(
    expect.objectContaining({ msg: expect.stringContaining("what keeps tasks in progress does not reach") }),
  );
});

it("the keep-alive thread tells when the broker hears it, and again after a cut", async () => {
  const nats = await startTestNats();
  const proxy = await CuttableProxy.inFrontOf(nats.url);
  const bus = await connectNatsBus({ url: proxy.url, token: nats.token, provision: true });
  ending.push(
    nats.stop,
    () => proxy.close(),
    () => bus.close(),
  );
  const keepAlive = bus.tasks.keepAlive?.();
  await keepAlive?.reached?.();
  const isAway = new Promise<void>((resolve) =>
    bus.onStatus((status) => status === "reconnecting" && resolve()),
  );
  proxy.cut();
  await isAway;
  let isReached = false;
  const reached = keepAlive?.reached?.().then(() => {
    isReached = true;
  });
  await settle();
  expect(isReached).toBe(false);
  proxy.mend();
  await reached;
  expect(isReached).toBe(true);
});
