/** A moment of a run, as people name it: a log sequence, a time, a time of day, or so long after the start. */
import type { TraceOptions } from "../trace/replay.ts";
import { InvalidInputError } from "../workflow/errors.ts";
import { parseDuration } from "../workflow/names.ts";
import { integerFlag } from "./given-file.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const TIME_OF_DAY = /^(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?$/;

/**
 * What a replay has to be told for `--at`. A time of day is UTC, as all times that are printed, and the first
 * such after the run began; without seconds it means the whole minute. Nothing is known of times after `now`.
 * @param now epoch ms
 * @throws InvalidInputError
 */
export function momentFlag(text: string, now: number): Pick<TraceOptions, "at" | "until"> {
  if (/^\d+$/.test(text)) return { at: integerFlag("--at", text, 1, Number.MAX_SAFE_INTEGER) };
  const sinceMs = text.startsWith("+") ? parseDuration(text.slice(1)) : undefined;
  if (sinceMs !== undefined) return { until: (startedAt) => Math.min(now, startedAt + sinceMs) };
  const ofDay = timeOfDay(text);
  if (ofDay !== undefined) return { until: (startedAt) => Math.min(now, firstFrom(startedAt, ofDay)) };
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return { until: Math.min(now, time) };
  throw new InvalidInputError("E_MOMENT", `--at "${text}" is neither a log sequence nor a time`, {
    remedy: "Write it like 120, +30s, 14:03, 14:03:20 (UTC) or 2026-01-31T14:03:20Z.",
  });
}

/** The last ms that the text means, since midnight. */
function timeOfDay(text: string): number | undefined {
  const match = TIME_OF_DAY.exec(text);
  if (match === null) return undefined;
  const [, hours, minutes, seconds, fraction] = match;
  if (Number(hours) > 23 || Number(minutes) > 59 || Number(seconds ?? 0) > 59) return undefined;
  const minuteMs = (Number(hours) * 60 + Number(minutes)) * MINUTE_MS;
  if (seconds === undefined) return minuteMs + MINUTE_MS - 1;
  return (
    minuteMs + Number(seconds) * 1_000 + (fraction === undefined ? 999 : Number(fraction.padEnd(3, "0")))
  );
}

function firstFrom(startedAt: number, ofDayMs: number): number {
  const sameDay = startedAt - (startedAt % DAY_MS) + ofDayMs;
  return sameDay >= startedAt ? sameDay : sameDay + DAY_MS;
}
