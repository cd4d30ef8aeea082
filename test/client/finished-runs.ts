/** Runs in every standing, written straight into a bus: what purging and archiving is tried on. */
import type { Bus } from "../../src/bus/bus.ts";
import { checkIn } from "../../src/bus/claim-check.ts";
import { RunFold } from "../../src/fold/run-fold.ts";
import { runSummaryOf } from "../../src/fold/run-summary.ts";

const ROLE = "worker";
const WORKFLOW = { name: "wf", steps: [{ id: "a", agent: ROLE, task: "t", outputs: ["big", "raw"] }] };

export type Standing = "done" | "failed" | "cancelled" | "running";

/** A run with a large value, bytes, a file of its own, a late result and an entry in the list. */
export async function standingRun(bus: Bus, run: string, standing: Standing): Promise<void> {
  const { log } = bus;
  await log.append(
    run,
    { kind: "submit", body: { v: 1, workflow: WORKFLOW, inputs: {} } },
    { expectLast: 0 },
  );
  const claim = { v: 1 as const, id: `${run}-c`, epoch: 1, at: 1, type: "claim" as const, holder: "o" };
  const claimed = await log.append(run, { kind: "decision", body: claim }, { expectLast: 0 });
  if (standing === "running" || !claimed.ok) return keep(bus, run);
  if (standing === "cancelled") {
    await log.append(run, { kind: "control", body: { v: 1, verb: "cancel", by: "person" } });
  } else {
    await bus.artifacts.put(run, new TextEncoder().encode(`a file of ${run}`));
    const outputs = await checkIn(bus.artifacts, run, {
      big: "x".repeat(600_000),
      raw: new Uint8Array([0, 1, 2, 255]),
    });
    const status = standing === "done" ? ("done" as const) : ("failed" as const);
    const error = { name: "Error", message: "no", retryable: false };
    const body = { v: 1 as const, run, step: "a", n: 1, agent: "w-1", status };
    const told = standing === "done" ? { outputs } : { error };
    await log.append(run, { kind: "result", role: ROLE, body: { ...body, ...told } });
    await log.append(run, { kind: "result", role: ROLE, body: { ...body, agent: "late", ...told } });
  }
  const end = { v: 1 as const, id: `${run}-e`, epoch: 1, at: 2, type: "end" as const };
  const error = { code: "E", message: standing };
  const body = { ...end, status: standing, ...(standing === "done" ? {} : { error }) };
  await log.append(run, { kind: "decision", body }, { expectLast: claimed.seq });
  await bus.tasks.push({
    v: 1,
    run,
    step: "a",
    n: 1,
    role: ROLE,
    task: "t",
    inputs: {},
    attempt: 1,
    idempotencyKey: `${run}:a`,
    outputs: [],
  });
  await bus.runs.push(run);
  await keep(bus, run);
}

async function keep(bus: Bus, run: string): Promise<void> {
  const fold = new RunFold(run);
  for await (const record of bus.log.read(run)) fold.apply(record);
  await bus.index.put(runSummaryOf(fold));
}

/** All that the swarm holds of a run. */
export async function traces(bus: Bus, run: string) {
  let records = 0;
  for await (const _ of bus.log.read(run)) records++;
  return {
    submitted: await bus.log.exists(run),
    records,
    task: await bus.tasks.has({ run, step: "a", n: 1, role: ROLE }),
    artifacts: (await bus.artifacts.list()).get(run)?.length ?? 0,
    listed: (await bus.index.list()).some((entry) => entry.run === run),
  };
}

export const NOTHING = { submitted: false, records: 0, task: false, artifacts: 0, listed: false };
