/** Glyphs and colours of states and outcomes, the same in every view of the terminal. */
import type pc from "picocolors";

export type Colors = ReturnType<typeof pc.createColors>;

export const GLYPHS: Readonly<Record<string, string>> = {
  pending: "·",
  ready: "○",
  running: "◐",
  done: "✔",
  completed: "✔",
  skipped: "↷",
  failed: "✖",
  "timed-out": "⧗",
  cancelled: "⊘",
};

/** Colours a text by a step's state or outcome, or by a run's status. */
export function paintOutcome(text: string, outcome: string, colors: Colors): string {
  switch (outcome) {
    case "completed":
    case "done":
      return colors.green(text);
    case "failed":
    case "timed-out":
      return colors.red(text);
    case "cancelled":
    case "paused":
    case "waiting":
      return colors.yellow(text);
    case "running":
    case "planning":
      return colors.cyan(text);
    case "skipped":
    case "pending":
      return colors.dim(text);
    default:
      return text;
  }
}
