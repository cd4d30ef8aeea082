/**
 * Random workflows with every kind of join over plain steps, fan-outs, repetitions, handoffs, recoveries and nested
 * runs, some of whose steps are cancelled, whose runs are paused, resumed, failed over, retried and answered by people.
 * Catches: a join that waits for ever behind a skip, a failure or a cancel, and a disturbance that changes what a run
 * leaves behind. What is expected is said here once more, and shares no code with the runtime.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { ControlMessage } from "../../src/bus/messages.ts";
import { SwarmStage } from "./swarm-stage.ts";

type Fate = "done" | "skipped" | "fails" | "stumbles" | "breaks" | "unwanted" | "stopped";
type Kind = "plain" | "each" | "repeated" | "handed-on" | "recovered" | "nested";

interface Plan {
  readonly role: "worker" | "human" | "signal";
  readonly fate: Fate;
  readonly kind: Kind;
  readonly deps: readonly number[];
  readonly join: "all" | "any" | number;
}

const plans = fc
  .array(
    fc.record({
      role: fc.constantFrom("worker", "worker", "worker", "human", "signal"),
      fate: fc.constantFrom<Fate>(
        "done",
        "done",
        "skipped",
        "fails",
        "stumbles",
        "breaks",
        "unwanted",
        "stopped",
      ),
      kind: fc.constantFrom<Kind>("plain", "plain", "each", "repeated", "handed-on", "recovered", "nested"),
      deps: fc.array(fc.nat({ max: 7 }), { maxLength: 3 }),
      join: fc.constantFrom("all", "any", 2),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((list) =>
    list.map((one, at): Plan => {
      const deps = [...new Set(one.deps.filter((dep) => dep < at))];
      const join = typeof one.join === "number" && deps.length < one.join ? "all" : one.join;
      // People answer plain questions; an alternative is for what fails for good.
      const asked = one.role !== "worker";
      const kind = asked ? "plain" : one.kind;
      const isStopped = one.fate === "stopped" && (asked || kind !== "plain");
      const fate = isStopped
        ? "unwanted"
        : kind === "recovered" && one.fate !== "skipped"
          ? "done"
          : one.fate;
      return { ...one, kind, fate, deps, join } as Plan;
    }),
  );
const disturbances = fc.array(fc.constantFrom("none", "pause", "failover"), { maxLength: 8 });

const nameOf = (at: number) => `s${at}`;
const ROUNDS = 2;

function workflowOf(list: readonly Plan[]): object {
  const retry = { maxAttempts: 3, initial: "100ms", jitter: 0 };
  return {
    maxParallel: 3,
    defaults: { retry },
    steps: list.map(({ role, fate, kind, deps, join }, at) => {
      const id = nameOf(at);
      const mayFail = fate === "fails" || fate === "unwanted" || fate === "stopped";
      const inner = { id, agent: "worker", task: "work", outputs: [id], retry };
      return {
        id,
        agent: role,
        task: role === "signal" ? id : "work",
        ...(deps.length === 0 ? {} : { dependsOn: deps.map(nameOf), join }),
        ...(fate === "skipped" ? { when: "1 == 2" } : {}),
        onFailure: kind === "recovered" ? "recover" : mayFail ? "continue" : "fail",
        outputs: [id],
        ...(kind === "each" ? { forEach: ["a", "b"] } : {}),
        ...(kind === "repeated" ? { repeat: { until: `iteration == ${ROUNDS}`, max: ROUNDS } } : {}),
        ...(kind === "nested"
          ? { agent: "orchestrator", task: "run", inputs: { workflow: { name: id, steps: [inner] } } }
          : {}),
      };
    }),
  };
}

/** One life of the run. Returns how it ended, and its environment. */
async function live(list: readonly Plan[], disturbed: readonly string[]) {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const keys = list.map((_, at) => nameOf(at));
  await stage.join(
    "expert",
    keys.map((key) => ({ name: `make-${key}`, gives: [key] })),
  );
  let daemon = await stage.daemon();
  await stage.submit(workflowOf(list));
  const seen = new Map<string, number>();
  const say = async (body: Omit<ControlMessage, "v" | "by">) => {
    await stage.bus.log.append("r1", { kind: "control", body: { v: 1, by: "ada", ...body } });
    await stage.clock.advance(0);
  };
  for (const [at, { fate }] of list.entries())
    if (fate === "unwanted") await say({ verb: "cancel", step: nameOf(at) });
  for (let turn = 0; turn < 200; turn++) {
    const what = disturbed[turn];
    if (what === "pause") await say({ verb: "pause" });
    if (what === "failover") {
      await daemon.bus.close();
      daemon = await stage.daemon();
    }
    for (const { task } of [...(stage.taken.get("worker") ?? [])]) {
      const { run, step } = task;
      const key = step.split("~")[0] ?? step;
      const times = (seen.get(step) ?? 0) + 1;
      seen.set(step, times);
      const { fate, kind } = list[Number(key.slice(1))] ?? {};
      if (fate === "stopped") {
        // Its agent heeds no cancel: it is given up after a while, and its answer is late.
        await say({ verb: "cancel", step });
        await stage.clock.advance(10_000);
      }
      const error = { name: "Error", message: "no", retryable: fate === "stumbles" };
      const fails = fate === "fails" || (times === 1 && (fate === "stumbles" || fate === "breaks"));
      const isLost = kind === "recovered";
      const handoff = { role: "expert", task: "look", inputs: {}, reason: "too hard" };
      await stage.answer("worker", {
        step,
        run,
        ...(fails || isLost
          ? { status: "failed" as const, error }
          : kind === "handed-on"
            ? { status: "handoff" as const, handoff }
            : { outputs: { [key]: key } }),
      });
    }
    for (const { task } of [...(stage.taken.get("expert") ?? [])])
      await stage.answer("expert", { step: task.step, outputs: { [task.step]: task.step } });
    const fold = await stage.fold();
    for (const [step, { kind }] of fold.waits) {
      const fails = list[Number(step.slice(1))]?.fate === "fails";
      if (kind === "signal") await say({ verb: "signal", name: step, value: step });
      else if (fails) await say({ verb: "reject", step });
      else await say({ verb: "approve", step, value: step });
    }
    if (what === "pause") await say({ verb: "resume" });
    await stage.clock.advance(what === "failover" ? 15_000 : 1_000);
    const { status, environment } = await stage.fold();
    if (status === "done" || status === "cancelled") return { status, values: { ...environment.values } };
    if (status === "failed") await say({ verb: "retry" });
  }
  return { status: "stuck", values: {} };
}

function expected(list: readonly Plan[]): Record<string, unknown> {
  const values = list.map(({ role, fate, kind }, at): [string, unknown] => {
    const fails = fate === "fails" && role !== "signal";
    const isNull = fate === "skipped" || fate === "unwanted" || fate === "stopped";
    const value = nameOf(at);
    // Whoever wants another way gets one, also after a cancel.
    if (kind === "recovered" && fate !== "skipped") return [value, value];
    if (isNull) return [value, null];
    if (kind === "each") return [value, fails ? [null, null] : [value, value]];
    return [value, fails ? null : value];
  });
  return Object.fromEntries(values);
}

it("a run ends in the same environment, however it was paused, failed over, retried and answered", async () => {
  const met = new Set<Kind>();
  await fc.assert(
    fc.asyncProperty(plans, disturbances, async (list, disturbed) => {
      for (const { kind } of list) met.add(kind);
      const quiet = await live(list, []);
      expect(quiet).toEqual({ status: "done", values: expected(list) });
      expect(await live(list, disturbed)).toEqual(quiet);
    }),
    { numRuns: 30 },
  );
  expect(met.size).toBe(6);
}, 240_000);
