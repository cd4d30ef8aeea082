/**
 * How a step looks: one of a few looks, made of its state and how it ended, each with a colour and a sign of
 * its own, so that nobody has to tell them by colour.
 */

export const LOOKS = [
  "pending",
  "ready",
  "running",
  "done",
  "skipped",
  "failed",
  "timed-out",
  "cancelled",
  "waiting",
  "retrying",
  "kept",
] as const;
export type Look = (typeof LOOKS)[number];

/** A look as a small number, for arrays of thousands. */
export type LookCode = number;

const CODES = new Map<string, LookCode>(LOOKS.map((look, code) => [look, code]));

export function codeOf(look: Look): LookCode {
  return CODES.get(look) ?? 0;
}

export function lookOf(code: LookCode): Look {
  return LOOKS[code] ?? "pending";
}

/** What a step looks like after this move of its machine. */
export function lookAfter({ to, event }: { to: string; event: string }): Look {
  if (to === "done") return event === "skip" ? "skipped" : event === "take over" ? "kept" : "done";
  if (to === "failed")
    return event === "time out" ? "timed-out" : event === "cancel" ? "cancelled" : "failed";
  if (to === "ready") return event === "fail" || event === "time out" ? "retrying" : "ready";
  return to === "running" ? "running" : "pending";
}

/** What a state with its outcome looks like, where the move is not at hand. */
export function lookOfState(state: string, outcome: string | null): Look {
  if (state === "done") return outcome === "skipped" ? "skipped" : "done";
  if (state === "failed") return outcome === "timed-out" || outcome === "cancelled" ? outcome : "failed";
  return state === "ready" || state === "running" ? state : "pending";
}

export const LOOK_WORDS: Readonly<Record<Look, string>> = {
  pending: "waiting for others",
  ready: "waiting for an agent",
  running: "running",
  done: "done",
  skipped: "skipped",
  failed: "failed",
  "timed-out": "timed out",
  cancelled: "cancelled",
  waiting: "waiting for a person or signal",
  retrying: "waiting for another attempt",
  kept: "taken over from another run",
};

/** Signs on a field of 16 by 16, to be stroked; the same for SVG and canvas. */
export const LOOK_SIGNS: Readonly<Record<Look, string>> = {
  pending: "M8 7.6v.8",
  ready: "M8 3.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9",
  running: "M8 3.5a4.5 4.5 0 1 1-4.5 4.5M8 8l2.5-2.5",
  done: "M3.8 8.4l2.8 2.8l5.6-6.2",
  skipped: "M3.5 10.5c1-5 7-5 8.5-1.5M12.3 5.5v3.6h-3.6",
  failed: "M4.5 4.5l7 7M11.5 4.5l-7 7",
  "timed-out": "M5 3.5h6L5 12.5h6zM5 3.5l6 9",
  cancelled: "M8 3.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9M4.9 4.9l6.2 6.2",
  waiting: "M5.5 4v8M10.5 4v8",
  retrying: "M12.2 6.5a4.5 4.5 0 1 0 .2 3M12.6 3.6v3.1h-3.1",
  kept: "M4 4.5v7h8M7 9l2 2 3-5",
};

/** What wants attention first comes first. */
export const LOOK_ORDER: readonly Look[] = [
  "failed",
  "timed-out",
  "waiting",
  "running",
  "retrying",
  "ready",
  "pending",
  "cancelled",
  "skipped",
  "kept",
  "done",
];
