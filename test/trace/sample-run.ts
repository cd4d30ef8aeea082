/** A small run as log records, written by hand: what the trace and the views are tested on. */
import type { LogEntry, LogRecord } from "../../src/bus/bus.ts";

/** When the sample run was submitted. */
export const START = Date.UTC(2026, 0, 2, 3, 4, 5, 6);

/** Records of one run from entries at milliseconds after the start, sequences from 10 on. */
export function recordsOf(run: string, entries: readonly (readonly [number, LogEntry])[]): LogRecord[] {
  return entries.map(([at, entry], index) => ({ run, seq: 10 + index, ts: START + at, ...entry }));
}

const dispatched = (at: number, step: string, n: number, role: string) => ({ step, n, role, at: START + at });
const started = (at: number, step: string, n: number, agent: string) => ({ step, n, agent, at: START + at });

function observed(
  at: number,
  what: { dispatched?: ReturnType<typeof dispatched>[]; started?: ReturnType<typeof started>[] },
): readonly [number, LogEntry] {
  const body = { v: 1 as const, epoch: 1, dispatched: what.dispatched ?? [], started: what.started ?? [] };
  return [at, { kind: "observed", body }];
}

function done(
  at: number,
  step: string,
  n: number,
  role: string,
  agent: string,
  outputs: Record<string, unknown>,
): readonly [number, LogEntry] {
  return [
    at,
    { kind: "result", role, body: { v: 1, run: "sample", step, n, agent, status: "done", outputs } },
  ];
}

const SAMPLE_WORKFLOW = {
  name: "sales",
  steps: [
    { id: "load", agent: "loader", task: "load", outputs: ["dataset"] },
    { id: "clean", agent: "cleaner", task: "clean", dependsOn: ["load"], outputs: ["clean"] },
    { id: "sample", agent: "cleaner", task: "sample", dependsOn: ["clean"], when: "env.dataset > 1000" },
    { id: "model", agent: "modeler", task: "model", dependsOn: ["clean"], retry: { maxAttempts: 2 } },
    { id: "report", agent: "reporter", task: "report", dependsOn: ["model", "sample"] },
  ],
};

const error = { name: "Error", message: "singular\n matrix \u001b[31mred", retryable: true };

/** `model` fails once and is tried again; a late and a foreign result change nothing; `report` is running. */
export function sampleRecords(): LogRecord[] {
  return recordsOf("sample", [
    [0, { kind: "submit", body: { v: 1, workflow: SAMPLE_WORKFLOW, inputs: {} } }],
    [
      5,
      { kind: "decision", body: { v: 1, id: "d1", epoch: 1, at: START + 5, type: "claim", holder: "o-1" } },
    ],
    observed(10, {
      dispatched: [dispatched(8, "load", 1, "loader")],
      started: [started(100, "load", 1, "loader-1")],
    }),
    done(600, "load", 1, "loader", "loader-1", { dataset: 12 }),
    observed(620, { started: [started(610, "clean", 1, "cleaner-1")] }),
    done(1_000, "clean", 1, "cleaner", "cleaner-1", { clean: true }),
    observed(1_010, { started: [started(1_005, "model", 1, "modeler-1")] }),
    [
      1_500,
      {
        kind: "result",
        role: "modeler",
        body: { v: 1, run: "sample", step: "model", n: 1, agent: "modeler-1", status: "failed", error },
      },
    ],
    done(1_600, "load", 1, "loader", "loader-2", { dataset: 13 }),
    done(1_700, "model", 2, "cleaner", "cleaner-1", {}),
    observed(2_600, { started: [started(2_500, "model", 2, "modeler-2")] }),
    done(3_000, "model", 2, "modeler", "modeler-2", {}),
    observed(3_100, { started: [started(3_050, "report", 1, "reporter-1")] }),
  ]);
}

/** The rest of it: `report` is done and the run ends. */
export function sampleEnd(): LogRecord[] {
  const last = sampleRecords().length;
  return recordsOf("sample", [
    done(4_000, "report", 1, "reporter", "reporter-1", {}),
    [
      4_010,
      {
        kind: "decision",
        body: { v: 1, id: "d2", epoch: 1, at: START + 4_010, type: "end", status: "done" },
      },
    ],
  ]).map((record, index) => ({ ...record, seq: 10 + last + index }));
}
