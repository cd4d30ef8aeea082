/**
 * What a daemon is told about its work: flag over environment variable over `datahammer.yaml` over default, as
 * all settings. Undefined: the daemon's or the swarm's own.
 */
import { InvalidInputError } from "../workflow/errors.ts";
import { parseDuration } from "../workflow/names.ts";

export interface DaemonSettings {
  /** Runs that it holds at once. */
  maxRuns: number | undefined;
  /** A run whose daemon is silent for so long goes to another. */
  ackWaitMs: number | undefined;
  /** A role that nobody serves for so long is planned round. */
  roleAbsenceMs: number | undefined;
  /** Copies of everything stored. */
  replicas: number | undefined;
  /** Of the managed broker. */
  fsync: "always" | "interval" | undefined;
}

/** The same, as it was given. */
export interface DaemonFlags {
  maxRuns?: string;
  ackWait?: string;
  roleAbsence?: string;
  replicas?: string;
  fsync?: string;
}

/** A text and where it came from, for the error. */
export interface Sourced {
  value: string;
  source: string;
}

/** The queue of runs lets no more be held over all daemons. */
const MOST_RUNS = 20_000;
/** JetStream's own bound. */
const MOST_REPLICAS = 5;
const SHORTEST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 3_600_000;

/** @throws InvalidInputError `E_SETTING` naming the flag, variable or file key that is wrong */
export function daemonSettings(
  pick: (key: keyof DaemonFlags, variable: string) => Sourced | undefined,
): DaemonSettings {
  return {
    maxRuns: wholeNumber(pick("maxRuns", "DATAHAMMER_MAX_RUNS"), MOST_RUNS),
    ackWaitMs: duration(pick("ackWait", "DATAHAMMER_ACK_WAIT")),
    roleAbsenceMs: duration(pick("roleAbsence", "DATAHAMMER_ROLE_ABSENCE")),
    replicas: wholeNumber(pick("replicas", "DATAHAMMER_REPLICAS"), MOST_REPLICAS),
    fsync: fsync(pick("fsync", "DATAHAMMER_FSYNC")),
  };
}

function wholeNumber(given: Sourced | undefined, most: number): number | undefined {
  if (given === undefined) return undefined;
  const value = Number(given.value);
  if (/^\d+$/.test(given.value) && value >= 1 && value <= most) return value;
  throw refused(given, `a whole number from 1 to ${most}`);
}

function duration(given: Sourced | undefined): number | undefined {
  if (given === undefined) return undefined;
  const ms = parseDuration(given.value);
  if (ms !== undefined && ms >= SHORTEST_WAIT_MS && ms <= LONGEST_WAIT_MS) return ms;
  throw refused(given, "a duration from 1s to 1h, such as 10s");
}

function fsync(given: Sourced | undefined): DaemonSettings["fsync"] {
  if (given === undefined) return undefined;
  if (given.value === "always" || given.value === "interval") return given.value;
  throw refused(given, "always or interval");
}

function refused({ value, source }: Sourced, bound: string): InvalidInputError {
  return new InvalidInputError("E_SETTING", `"${value}" (${source}) must be ${bound}`, {
    remedy: "`datahammer up --help` tells the defaults.",
    data: { value, source },
  });
}
