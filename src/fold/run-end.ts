import type { RunError } from "../bus/messages.ts";

/** An end that is due, to be written as a decision. */
export interface RunEnd {
  status: "done" | "failed" | "cancelled";
  outputs?: Record<string, unknown>;
  error?: RunError;
  /** What was done has to be undone first. */
  compensate?: true;
}
