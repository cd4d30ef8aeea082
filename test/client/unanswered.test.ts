/**
 * A write that the broker does not answer.
 * Catches: a time-out told to somebody whose daemon knows that the disk is full, and a failure of another kind that is
 * laid to that, or delayed by asking.
 */
import { expect, it } from "vitest";
import type { Bus } from "../../src/bus/bus.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import { UnreachableError } from "../../src/workflow/errors.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

const TIMED_OUT = new UnreachableError("E_TIMEOUT", "a request got no answer within 2000 ms");
const workflow = { steps: [{ id: "a", agent: "x", task: "t" }] };

/** A client whose broker stores nothing, beside a daemon that knows a reason, none, or is not there. */
async function stage(failure: Error, daemon: { problem?: string } | undefined) {
  const clock = new VirtualClock();
  const broker = createMemoryBroker({ clock });
  let asked = 0;
  const known = broker.connect();
  await known.log.append("r1", { kind: "submit", body: { v: 1, workflow, inputs: {} } });
  if (daemon !== undefined)
    known.live.onHello(async () => {
      asked += 1;
      return { ok: true, roles: [], ...daemon };
    });
  const bus: Bus = broker.connect();
  bus.log.append = () => Promise.reject(failure);
  const client = await connectSwarm({ bus, by: "ada", clock });
  const told = async (write: () => Promise<unknown>): Promise<Error> => {
    const error = write().then(
      () => new Error("it was stored"),
      (refusal: Error) => refusal,
    );
    await clock.advance(5_000);
    return error;
  };
  return { client, told, asked: () => asked };
}

it("tells the reason that the daemon knows, for every kind of write", async () => {
  const { client, told } = await stage(TIMED_OUT, { problem: "the disk of the store is full" });
  for (const write of [
    () => client.submit({ workflow }),
    () => client.rerun("r1"),
    () => client.control("r1", { verb: "pause" }),
    () => client.setEnvironment("r1", "key", 1),
  ]) {
    const error = await told(write);
    expect(error).toBeInstanceOf(UnreachableError);
    expect(error).toMatchObject({ code: "E_TIMEOUT", cause: TIMED_OUT });
    expect(error.message).toMatch(/no answer within 2000 ms: the disk of the store is full$/);
  }
});

it("is a time-out when the daemon knows of nothing, or there is none", async () => {
  for (const daemon of [{}, undefined]) {
    const { client, told } = await stage(TIMED_OUT, daemon);
    expect(await told(() => client.submit({ workflow }))).toBe(TIMED_OUT);
  }
});

it("asks nobody when the broker has given its own reason", async () => {
  const full = new UnreachableError("E_BROKER_FULL", "the broker has no room");
  const { client, told, asked } = await stage(full, { problem: "the disk of the store is full" });
  expect(await told(() => client.submit({ workflow }))).toBe(full);
  expect(asked()).toBe(0);
});
