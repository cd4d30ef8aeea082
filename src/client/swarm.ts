/** The client's view of a swarm: what `connectSwarm` resolves to and what the command line is made of. */
import type { LogRecord, RoleStatus } from "../bus/bus.ts";
import type { AgentPresence, ControlMessage, LiveMessage, RunStatus, RunSummary } from "../bus/messages.ts";

/** One step as `show --json` prints it. */
export interface StepView {
  state: "pending" | "ready" | "running" | "done" | "failed";
  outcome: "completed" | "skipped" | "failed" | "timed-out" | "cancelled" | null;
  attempts: number;
  agent: string | null;
}

/** One run as `show --json` prints it: folded from its log at `seq`. */
export interface RunView {
  run: string;
  name: string;
  status: RunStatus;
  outputs: Record<string, unknown>;
  environment: Record<string, unknown>;
  steps: Record<string, StepView>;
  error?: { code: string; message: string; step?: string };
  startedAt: string;
  endedAt: string | null;
  durationMs: number;
  seq: number;
}

export interface SubmitRequest {
  /** The id; default: made up. An id is used once while its log exists. */
  run?: string;
  workflow?: unknown;
  goals?: string | string[];
  want?: string[];
  inputs?: Record<string, unknown>;
  environment?: Record<string, unknown>;
  timeout?: string;
}

export interface SwarmClient {
  readonly swarm: string;
  /** Durable once it resolves. @throws InvalidInputError when the id is taken. */
  submit(request: SubmitRequest): Promise<{ run: string }>;
  /** Every log record of the run and its live messages, until the run ends or the signal fires. */
  watch(
    run: string,
    listener: (event: { log?: LogRecord; live?: LiveMessage & { role: string }; view: RunView }) => void,
    options?: { signal?: AbortSignal },
  ): Promise<RunView>;
  control(run: string, control: Omit<ControlMessage, "v" | "by"> & { by?: string }): Promise<void>;
  show(run: string): Promise<RunView>;
  records(run: string): AsyncIterable<LogRecord>;
  runs(filter?: { status?: RunStatus; limit?: number }): Promise<RunSummary[]>;
  agents(): Promise<AgentPresence[]>;
  roles(): Promise<RoleStatus[]>;
  close(): Promise<void>;
}
