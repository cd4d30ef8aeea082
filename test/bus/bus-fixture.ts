/** What every test of a bus starts from: two connections to a fresh broker, and the words to use them with. */
import { afterEach, beforeEach } from "vitest";
import type { Bus, LogRecord, PullOptions, TaskDelivery } from "../../src/bus/bus.ts";
import { Arrivals } from "./arrivals.ts";
import { ROLE } from "./messages.ts";

/** One broker and what a test may do to it. */
export interface BusStage {
  /** A connection; closed when the test ends. */
  connect(swarm?: string): Promise<Bus>;
  /** A connection that can be cut off from the live copies of the log. */
  connectLossy(): Promise<{ bus: Bus; whileCutOff(work: () => Promise<void>): Promise<void> }>;
  /** Publishes bytes as they are. Resolves once the broker has them. */
  inject(subject: string, bytes: Uint8Array): Promise<void>;
  /** Lets time pass until the signal comes, calling `tick` every tenth of a second of it. */
  until<Value>(signal: Promise<Value>, tick?: () => void): Promise<Value>;
  close(): Promise<void>;
}

export type OpenStage = () => Promise<BusStage>;

/** The shortest ack-wait that a role may have. */
const ACK_WAIT_MS = 1_000;

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

export interface BusFixture {
  stage: BusStage;
  bus: Bus;
  other: Bus;
}

/** Makes a broker and two connections before each test of the suite, and closes them after it. */
export function setUpBus(openStage: OpenStage, give: (made: BusFixture) => void) {
  let stage: BusStage;
  let bus: Bus;
  let other: Bus;
  beforeEach(async () => {
    stage = await openStage();
    bus = await stage.connect();
    other = await stage.connect();
    give({ stage, bus, other });
  });
  afterEach(() => stage.close());

  async function read(run: string, options?: { from?: number; to?: number }): Promise<LogRecord[]> {
    const records: LogRecord[] = [];
    for await (const record of other.log.read(run, options)) records.push(record);
    return records;
  }
  async function append(run: string, entry: Parameters<Bus["log"]["append"]>[1]): Promise<number> {
    const outcome = await bus.log.append(run, entry);
    if (!outcome.ok) throw new Error("an append without expectation cannot conflict");
    return outcome.seq;
  }
  function pull(from: Bus, slots: number, more: Partial<PullOptions<TaskDelivery>> = {}) {
    const deliveries = new Arrivals<TaskDelivery>();
    const state = { free: slots };
    const puller = from.tasks.pull(ROLE, {
      slots: () => state.free,
      onDelivery: (delivery) => {
        state.free--;
        deliveries.add(delivery);
      },
      ...more,
    });
    const free = (count = 1): void => {
      state.free += count;
      puller.wake();
    };
    return { deliveries, puller, free };
  }
  const role = (settings: object = {}) =>
    bus.tasks.ensureRole({ role: ROLE, ackWaitMs: ACK_WAIT_MS, ...settings });
  return { read, append, pull, role };
}
