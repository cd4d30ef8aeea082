/** What is measured: the floor or the runtime, doing the same work on the same broker. */
import type { CpuTime } from "./child-process.ts";

/** Steps in a row (each after the one before), or all at once under a bound. */
export type Shape = { kind: "chain"; steps: number } | { kind: "fan"; steps: number; inFlight: number };

export interface BrokerAddress {
  url: string;
  token: string;
}

/** CPU time of a subject's two processes: the one that gives work out, and the one that does it. */
export interface Effort {
  orchestrator: CpuTime;
  worker: CpuTime;
}

export interface Subject {
  readonly name: "floor" | "thorough" | "runtime";
  /** The swarm whose log has the records. */
  readonly swarm: string;
  /** Carries the work out under this run id; resolves when its end is in the log. */
  run(run: string, shape: Shape): Promise<void>;
  effort(): Promise<Effort>;
  /** Peak memory in bytes. */
  peakMemory(): { orchestrator: number; worker: number };
  stop(): Promise<void>;
}

export const ROLE = "noop";
export const TASK = "noop";
