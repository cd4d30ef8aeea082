/**
 * Questions about runs that another daemon holds. Catches: a log that is read from its beginning for every question,
 * an answer from an older state, a fold that outlives its run.
 */
import { expect, it } from "vitest";
import { Replays } from "../../src/actors/replays.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

const workflow = { steps: [{ id: "a", agent: "worker", task: "work" }] };

async function stage() {
  const clock = new VirtualClock();
  const bus = createMemoryBroker({ clock }).connect();
  const read = { records: 0 };
  const original = bus.log.read.bind(bus.log);
  bus.log.read = async function* (run, range) {
    for await (const record of original(run, range)) {
      read.records += 1;
      yield record;
    }
  };
  const submit = () =>
    bus.log.append("r1", { kind: "submit", body: { v: 1, workflow, inputs: {} } }, { expectLast: 0 });
  const control = (verb: "pause" | "resume" | "cancel") =>
    bus.log.append("r1", { kind: "control", body: { v: 1, verb, by: "ada" } });
  await submit();
  return { clock, bus, read, control, replays: new Replays(bus, clock) };
}

it("a run that is asked about again is read on from where it was", async () => {
  const { replays, read, control } = await stage();
  expect((await replays.of("r1")).status).toBe("running");
  await control("pause");
  const [one, other] = await Promise.all([replays.of("r1"), replays.of("r1")]);
  expect([one.status, other.status]).toEqual(["paused", "paused"]);
  expect(read.records).toBe(2);
});

it("a fold that nobody asked for is forgotten after a while", async () => {
  const { replays, read, clock } = await stage();
  await replays.of("r1");
  await clock.advance(11_000);
  await replays.of("r1");
  expect(read.records).toBe(2);
});

it("a log that could not be read is read on later", async () => {
  const { replays, bus, control } = await stage();
  const { read } = bus.log;
  bus.log.read = () => {
    throw new Error("away");
  };
  await expect(replays.of("r1")).rejects.toThrow("away");
  bus.log.read = read;
  await control("pause");
  expect((await replays.of("r1")).status).toBe("paused");
});
