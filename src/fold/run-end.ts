import type { RunError } from "../bus/decisions.ts";
import type { LookInside } from "./large-values.ts";

/** An end that is due, to be written as a decision. */
export interface RunEnd {
  status: "done" | "failed" | "cancelled";
  outputs?: Record<string, unknown>;
  error?: RunError;
  /** Its outputs can be told only once large values were looked into; then it is asked for again. */
  look?: LookInside;
  /** What was done has to be undone first. */
  compensate?: true;
}
