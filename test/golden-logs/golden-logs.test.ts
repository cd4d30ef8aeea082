/**
 * Logs that earlier versions wrote, read and finished by this one.
 * Catches: a change of the fold, the schemas or the encoding by which an old log means something else, and a run
 * that was half way when the daemon was upgraded and does not go on.
 */
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { OrchestratorAgent } from "../../src/actors/orchestrator-agent.ts";
import { SwarmPlanning } from "../../src/actors/swarm-planning.ts";
import { serveAgent } from "../../src/agent/host.ts";
import type { Clock, LogRecord } from "../../src/bus/bus.ts";
import { decisionSchema } from "../../src/bus/decisions.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { CONTROL_VERBS } from "../../src/bus/messages.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { RunFold } from "../../src/fold/run-fold.ts";
import { goldenCrew } from "./crew.ts";
import { meaningOf, readGoldenLogs, recordsOf } from "./golden-log.ts";

const log = pino({ level: "silent" });
const golden = readGoldenLogs();
/** What was out is lost with the old broker's queues, and found missing after a while: that need not last. */
const SPEED = 50;
const clock: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * SPEED,
  setTimeout: (callback, delayMs) => systemClock.setTimeout(callback, delayMs / SPEED),
  clearTimeout: (timer) => systemClock.clearTimeout(timer),
};

it.each(golden)("$name means what it meant", async ({ log: { run, messages, expected, halfway } }) => {
  const records = recordsOf(run, messages);
  expect(await meaningOf(run, records)).toEqual(expected);
  if (halfway === undefined) return;
  expect(await meaningOf(run, records.slice(0, halfway.records))).toEqual(halfway.expected);
});

describe.each(golden.filter(({ log: { half } }) => half))("$name", ({ log: { run, messages } }) => {
  it("goes on to its end, and what was done stays done", async () => {
    const broker = createMemoryBroker({ clock });
    for (const { subject, data } of messages) broker.inject(subject, Buffer.from(data, "base64"));
    const bus = broker.connect();
    const about = { pid: 1, host: "h", version: "0" };
    const hello = bus.live.onHello(async ({ roles }) => ({
      ok: true,
      roles: await Promise.all(roles.map(({ role }) => bus.tasks.ensureRole({ role }))),
    }));
    const agent = await serveAgent(goldenCrew(false), { bus, clock, log, id: "later-1", about });
    let ids = 0;
    const orchestrator = new OrchestratorAgent({
      bus: broker.connect(),
      clock,
      log,
      planning: new SwarmPlanning(bus, clock, log),
      id: "later",
      newId: () => `later-${++ids}`,
    });
    orchestrator.start();
    await bus.runs.push(run);
    const records = await untilEnd(bus, run);
    await orchestrator.stop();
    await agent.stop();
    hello.close();

    const before = fold(run, recordsOf(run, messages));
    const after = fold(run, records);
    expect(after.status).toBe("done");
    for (const { id } of before.steps?.all() ?? []) {
      expect(after.step(id).context.outcome, id).toBe("completed");
      if (before.step(id).state === "done") {
        expect(after.step(id).context, id).toMatchObject({ n: before.step(id).context.n, agent: "golden-1" });
      }
    }
  });
});

describe("the logs that are kept hold", () => {
  const records = golden.flatMap(({ log: { run, messages } }) => recordsOf(run, messages));

  it("every kind of record", () => {
    const kinds = new Set(records.map(({ kind }) => kind));
    expect([...kinds].sort()).toEqual(["control", "decision", "env", "observed", "result", "submit"]);
  });

  it("every decision but that on a run which nobody can go on with", () => {
    const types = new Set(records.map((record) => record.kind === "decision" && record.body.type));
    const all = decisionSchema.options.map(({ shape }) => shape.type.value);
    expect(all.filter((type) => !types.has(type))).toEqual(["defeated"]);
  });

  it("every control", () => {
    const verbs = new Set(records.map((record) => record.kind === "control" && record.body.verb));
    expect(CONTROL_VERBS.filter((verb) => !verbs.has(verb))).toEqual([]);
  });
});

function fold(run: string, records: readonly LogRecord[]): RunFold {
  const folded = new RunFold(run);
  for (const record of records) folded.apply(record);
  return folded;
}

function untilEnd(
  bus: ReturnType<ReturnType<typeof createMemoryBroker>["connect"]>,
  run: string,
): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  return new Promise((resolve) => {
    void bus.log.follow(run, (record) => {
      records.push(record);
      if (record.kind === "decision" && record.body.type === "end") resolve(records);
    });
  });
}
