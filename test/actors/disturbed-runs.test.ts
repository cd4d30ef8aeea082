/**
 * Random workflows with every kind of join, whose runs are paused, resumed, failed over, retried and answered by
 * people. Catches: a join that waits for ever behind a skip or a failure, and a disturbance that changes what a run
 * leaves behind. What is expected is said here once more, and shares no code with the runtime.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { ControlMessage } from "../../src/bus/messages.ts";
import { SwarmStage } from "./swarm-stage.ts";

type Fate = "done" | "skipped" | "fails" | "stumbles" | "breaks";

interface Plan {
  readonly role: "worker" | "human" | "signal";
  readonly fate: Fate;
  readonly deps: readonly number[];
  readonly join: "all" | "any" | number;
}

const plans = fc
  .array(
    fc.record({
      role: fc.constantFrom("worker", "worker", "worker", "human", "signal"),
      fate: fc.constantFrom<Fate>("done", "done", "skipped", "fails", "stumbles", "breaks"),
      deps: fc.array(fc.nat({ max: 7 }), { maxLength: 3 }),
      join: fc.constantFrom("all", "any", 2),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((list) =>
    list.map((one, at): Plan => {
      const deps = [...new Set(one.deps.filter((dep) => dep < at))];
      const join = typeof one.join === "number" && deps.length < one.join ? "all" : one.join;
      return { ...one, deps, join } as Plan;
    }),
  );
const disturbances = fc.array(fc.constantFrom("none", "pause", "failover"), { maxLength: 8 });

const nameOf = (at: number) => `s${at}`;

function workflowOf(list: readonly Plan[]): object {
  return {
    maxParallel: 3,
    defaults: { retry: { maxAttempts: 3, initial: "100ms", jitter: 0 } },
    steps: list.map(({ role, fate, deps, join }, at) => ({
      id: nameOf(at),
      agent: role,
      task: role === "signal" ? nameOf(at) : "work",
      ...(deps.length === 0 ? {} : { dependsOn: deps.map(nameOf), join }),
      ...(fate === "skipped" ? { when: "1 == 2" } : {}),
      onFailure: fate === "fails" ? "continue" : "fail",
      outputs: [nameOf(at)],
    })),
  };
}

/** One life of the run. Returns how it ended, and its environment. */
async function live(list: readonly Plan[], disturbed: readonly string[]) {
  const stage = new SwarmStage();
  await stage.serve("worker");
  let daemon = await stage.daemon();
  await stage.submit(workflowOf(list));
  const seen = new Map<string, number>();
  const say = async (body: Omit<ControlMessage, "v" | "by">) => {
    await stage.bus.log.append("r1", { kind: "control", body: { v: 1, by: "ada", ...body } });
    await stage.clock.advance(0);
  };
  for (let turn = 0; turn < 100; turn++) {
    const what = disturbed[turn];
    if (what === "pause") await say({ verb: "pause" });
    if (what === "failover") {
      await daemon.bus.close();
      daemon = await stage.daemon();
    }
    for (const { task } of [...(stage.taken.get("worker") ?? [])]) {
      const { step } = task;
      const times = (seen.get(step) ?? 0) + 1;
      seen.set(step, times);
      const fate = list[Number(step.slice(1))]?.fate;
      const error = { name: "Error", message: "no", retryable: fate === "stumbles" };
      const fails = fate === "fails" || (times === 1 && (fate === "stumbles" || fate === "breaks"));
      await stage.answer("worker", {
        step,
        ...(fails ? { status: "failed", error } : { outputs: { [step]: step } }),
      });
    }
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
  const values = list.map(({ role, fate }, at): [string, unknown] => {
    const isNull = fate === "skipped" || (fate === "fails" && role !== "signal");
    return [nameOf(at), isNull ? null : nameOf(at)];
  });
  return Object.fromEntries(values);
}

it("a run ends in the same environment, however it was paused, failed over, retried and answered", async () => {
  await fc.assert(
    fc.asyncProperty(plans, disturbances, async (list, disturbed) => {
      const quiet = await live(list, []);
      expect(quiet).toEqual({ status: "done", values: expected(list) });
      expect(await live(list, disturbed)).toEqual(quiet);
    }),
    { numRuns: 25 },
  );
}, 120_000);
