/** Messages for the tests, each with only what the test is about. */
import type { LogEntry } from "../../src/bus/bus.ts";
import type { AgentPresence, ControlMessage, TaskMessage } from "../../src/bus/messages.ts";

export const ROLE = "worker";

export function task(step: string, change: Partial<TaskMessage> = {}): TaskMessage {
  const run = change.run ?? "run-1";
  return {
    v: 1,
    run,
    step,
    n: 1,
    role: ROLE,
    task: "work",
    inputs: {},
    attempt: 1,
    idempotencyKey: `${run}:${step}`,
    outputs: [],
    ...change,
  };
}

export function submit(inputs: Record<string, unknown> = {}): LogEntry {
  return { kind: "submit", body: { v: 1, goals: "a report", inputs } };
}

export function control(verb: ControlMessage["verb"] = "pause"): LogEntry {
  return { kind: "control", body: { v: 1, verb, by: "test" } };
}

export function result(
  run: string,
  step: string,
  outputs: Record<string, unknown> = {},
  role = ROLE,
): LogEntry {
  return { kind: "result", role, body: { v: 1, run, step, n: 1, agent: "agent-1", status: "done", outputs } };
}

export function claim(id: string, epoch = 1): LogEntry {
  return { kind: "decision", body: { v: 1, type: "claim", id, epoch, at: 1, holder: "daemon-1" } };
}

export function card(id: string): Omit<AgentPresence, "running" | "done" | "failed"> {
  return {
    id,
    roles: [{ role: ROLE, tasks: [{ name: "work", needs: [], gives: ["report"] }] }],
    pid: 4711,
    host: "here",
    version: "1.2.3",
    startedAt: 1_700_000_000_000,
    concurrency: 4,
  };
}
