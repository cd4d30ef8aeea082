/**
 * Every subject of the wire protocol, built and parsed here and nowhere else.
 *
 * Builders refuse a token that is not an id, so that no name can smuggle a dot or a wildcard into a
 * subject; the parser gives back exactly what the builder was given, or `undefined` (L9). Stream, bucket
 * and consumer names are here too: they are part of the protocol, other languages pull by them.
 */
import { InvalidInputError } from "../workflow/errors.ts";
import { ID_PATTERN, STEP_REF_PATTERN } from "../workflow/names.ts";
import type { DispatchRef } from "./messages.ts";

/** Kinds of log records that have one subject per run; results have one per run and role. */
export const PLAIN_LOG_KINDS = ["submit", "env", "control", "observed", "decision"] as const;
type PlainLogKind = (typeof PLAIN_LOG_KINDS)[number];

/** The last tokens of a log subject. */
export type LogAddress = { kind: PlainLogKind } | { kind: "result"; role: string };

/** What a subject says, as the parser reads it. */
export type ParsedSubject = { swarm: string } & (
  | ({ is: "record"; run: string } & LogAddress)
  | ({ is: "live-record"; run: string } & LogAddress)
  | ({ is: "task" } & DispatchRef)
  | { is: "orchestrate"; run: string }
  | { is: "timer"; run: string }
  | { is: "env"; run: string; key: string }
  | { is: "handoff"; run: string; step: string }
  | { is: "live"; role: string; run: string; step: string }
  | ({ is: "cancel" } & DispatchRef)
  | ({ is: "ask" } & DispatchRef)
  | { is: "hello" }
);

const MAX_SUBJECT_CHARS = 512;
const DISPATCH_NUMBER = /^[1-9][0-9]{0,15}$/;

function id(value: string, what: string): string {
  if (ID_PATTERN.test(value)) return value;
  throw badToken(what, value, "[A-Za-z0-9_-]{1,64}");
}

function stepRef(value: string): string {
  if (STEP_REF_PATTERN.test(value)) return value;
  throw badToken("step", value, "an id, or <id>~<index>");
}

function dispatchNumber(value: number): string {
  const text = String(value);
  if (DISPATCH_NUMBER.test(text)) return text;
  throw badToken("dispatch number", text, "a whole number from 1");
}

function badToken(what: string, value: string, bound: string): InvalidInputError {
  return new InvalidInputError(
    "E_NAME",
    `${what} ${JSON.stringify(value)} cannot be part of a subject: it must be ${bound}`,
    {
      remedy: `Give the ${what} a name of letters, digits, "_" and "-", at most 64 characters.`,
      data: { what, value },
    },
  );
}

function logTail(address: LogAddress): string {
  return address.kind === "result" ? `result.${id(address.role, "role")}` : address.kind;
}

function dispatchTail(ref: DispatchRef): string {
  return `${id(ref.role, "role")}.${id(ref.run, "run")}.${stepRef(ref.step)}.${dispatchNumber(ref.n)}`;
}

/** The subjects and names of one swarm. */
export function subjectsOf(swarm: string) {
  const root = `dh.${id(swarm, "swarm")}`;
  return {
    swarm,
    // ── streams, buckets, durable consumers ──
    logStream: `dh_${swarm}_log`,
    tasksStream: `dh_${swarm}_tasks`,
    orchestrateStream: `dh_${swarm}_orchestrate`,
    artifactBucket: `dh_${swarm}_artifacts`,
    indexBucket: `dh_${swarm}_runs`,
    submitConsumer: "dh_submit",
    controlConsumer: "dh_control",
    orchestrateConsumer: "orchestrator",
    timerConsumer: "dh_timer",
    // ── the log ──
    allRecords: `${root}.run.>`,
    allLiveRecords: `${root}.log.>`,
    everySubmit: `${root}.run.*.submit`,
    everyControl: `${root}.run.*.control`,
    record: (run: string, address: LogAddress) => `${root}.run.${id(run, "run")}.${logTail(address)}`,
    recordsOf: (run: string) => `${root}.run.${id(run, "run")}.>`,
    liveRecord: (run: string, address: LogAddress) => `${root}.log.${id(run, "run")}.${logTail(address)}`,
    liveRecordsOf: (run: string) => `${root}.log.${id(run, "run")}.>`,
    // ── work queues ──
    allTasks: `${root}.task.>`,
    tasksOf: (role: string) => `${root}.task.${id(role, "role")}.>`,
    tasksOfRun: (run: string) => `${root}.task.*.${id(run, "run")}.>`,
    task: (ref: DispatchRef) => `${root}.task.${dispatchTail(ref)}`,
    allOrchestrate: `${root}.orchestrate.>`,
    orchestrate: (run: string) => `${root}.orchestrate.${id(run, "run")}`,
    allTimers: `${root}.timer.>`,
    timer: (run: string) => `${root}.timer.${id(run, "run")}`,
    // ── core messages ──
    env: (run: string, key: string) => `${root}.env.${id(run, "run")}.${id(key, "environment key")}`,
    envOf: (run: string | undefined) =>
      run === undefined ? `${root}.env.>` : `${root}.env.${id(run, "run")}.*`,
    handoff: (run: string, step: string) => `${root}.handoff.${id(run, "run")}.${stepRef(step)}`,
    handoffsOf: (run: string | undefined) =>
      run === undefined ? `${root}.handoff.>` : `${root}.handoff.${id(run, "run")}.*`,
    live: (role: string, run: string, step: string) =>
      `${root}.live.${id(role, "role")}.${id(run, "run")}.${stepRef(step)}`,
    liveOf: (run: string | undefined) =>
      run === undefined ? `${root}.live.>` : `${root}.live.*.${id(run, "run")}.*`,
    cancel: (ref: DispatchRef) => `${root}.cancel.${dispatchTail(ref)}`,
    cancelsOf: (role: string) => `${root}.cancel.${id(role, "role")}.*.*.*`,
    ask: (ref: DispatchRef) => `${root}.ask.${dispatchTail(ref)}`,
    everyAsk: `${root}.ask.*.*.*.*`,
    hello: `${root}.hello`,
  };
}

/** The subjects and names of one swarm, as `subjectsOf` gives them. */
export type Subjects = ReturnType<typeof subjectsOf>;

/** @returns undefined for everything that no builder here could have made. */
export function parseSubject(subject: string): ParsedSubject | undefined {
  if (subject.length > MAX_SUBJECT_CHARS) return undefined;
  const [dh, swarm, family, ...rest] = subject.split(".");
  if (dh !== "dh" || swarm === undefined || !ID_PATTERN.test(swarm)) return undefined;
  switch (family) {
    case "run":
    case "log":
      return record(swarm, family === "run" ? "record" : "live-record", rest);
    case "task":
    case "cancel":
    case "ask": {
      const ref = dispatch(rest);
      return ref && { swarm, is: family, ...ref };
    }
    case "orchestrate":
    case "timer": {
      const [run] = rest;
      return rest.length === 1 && isId(run) ? { swarm, is: family, run } : undefined;
    }
    case "env": {
      const [run, key] = rest;
      return rest.length === 2 && isId(run) && isId(key) ? { swarm, is: "env", run, key } : undefined;
    }
    case "handoff": {
      const [run, step] = rest;
      return rest.length === 2 && isId(run) && isStepRef(step)
        ? { swarm, is: "handoff", run, step }
        : undefined;
    }
    case "live": {
      const [role, run, step] = rest;
      return rest.length === 3 && isId(role) && isId(run) && isStepRef(step)
        ? { swarm, is: "live", role, run, step }
        : undefined;
    }
    case "hello":
      return rest.length === 0 ? { swarm, is: "hello" } : undefined;
    default:
      return undefined;
  }
}

function isId(token: string | undefined): token is string {
  return token !== undefined && ID_PATTERN.test(token);
}

function isStepRef(token: string | undefined): token is string {
  return token !== undefined && STEP_REF_PATTERN.test(token);
}

function record(swarm: string, is: "record" | "live-record", rest: string[]): ParsedSubject | undefined {
  const [run, kind, role] = rest;
  if (!isId(run)) return undefined;
  if (kind === "result") return rest.length === 3 && isId(role) ? { swarm, is, run, kind, role } : undefined;
  const plain = PLAIN_LOG_KINDS.find((known) => known === kind);
  return rest.length === 2 && plain !== undefined ? { swarm, is, run, kind: plain } : undefined;
}

function dispatch(rest: string[]): DispatchRef | undefined {
  const [role, run, step, n] = rest;
  if (rest.length !== 4 || n === undefined) return undefined;
  if (!isId(role) || !isId(run) || !isStepRef(step) || !DISPATCH_NUMBER.test(n)) return undefined;
  return { role, run, step, n: Number(n) };
}
