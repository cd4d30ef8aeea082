/** A moment of a run, as people name it: a log sequence, a time, a time of day, or so long after the start. */
import type { TraceOptions } from "../trace/replay.ts";
import { InvalidInputError } from "../workflow/errors.ts";
import { parseDuration } from "../workflow/names.ts";
import { integerFlag } from "./given-file.ts";
import type { Shell } from "./shell.ts";
import { wallDay, wallTime, whenWallShows, type ZoneOffset } from "./wall-clock.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const DATE = /^(\d{4})-(\d{2})-(\d{2})(?:[T ]+|$)/i;
const TIME = /^(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?/;
const ZONE = /^ ?(?:(Z|UTC)|([+-])(\d{2}):?(\d{2}))$/i;

/**
 * What a replay has to be told for `--at`. A time without a zone is the terminal's own, as texts print it; one
 * without a date is the first such after the run began. What is left out of its end is meant as a whole: `14:03`
 * is all of that minute, a date all of that day. Nothing is known of times after now.
 * @throws InvalidInputError
 */
export function momentFlag(
  text: string,
  { clock, zoneOffsetMs }: Pick<Shell, "clock" | "zoneOffsetMs">,
): Pick<TraceOptions, "at" | "until" | "timeText"> {
  if (/^\d+$/.test(text)) return { at: integerFlag("--at", text, 1, Number.MAX_SAFE_INTEGER) };
  return {
    until: timeFlag(text, { clock, zoneOffsetMs }),
    timeText: (epochMs) => wallTime(epochMs, zoneOffsetMs),
  };
}

function timeFlag(
  text: string,
  { clock, zoneOffsetMs }: Pick<Shell, "clock" | "zoneOffsetMs">,
): NonNullable<TraceOptions["until"]> {
  const now = clock.now();
  const sinceMs = text.startsWith("+") ? parseDuration(text.slice(1)) : undefined;
  if (sinceMs !== undefined) return (startedAt) => Math.min(now, startedAt + sinceMs);
  const named = namedTime(text.trim());
  if (named === undefined) {
    throw new InvalidInputError("E_MOMENT", `--at "${text}" is neither a log sequence nor a time`, {
      remedy: "Write it like 120, +30s, 14:03, 14:03:20, '2026-01-31 14:03' or 2026-01-31T14:03:20Z.",
    });
  }
  const { dayMs, ofDayMs, offsetMs } = named;
  const zone = offsetMs === undefined ? zoneOffsetMs : () => offsetMs;
  if (dayMs === undefined) return (startedAt) => Math.min(now, firstFrom(startedAt, ofDayMs, zone));
  // Where the wall showed it twice, the later one includes the earlier.
  return Math.min(now, ...whenWallShows(dayMs + ofDayMs, zone).slice(-1));
}

interface NamedTime {
  /** Midnight of the day, in ms of its zone's wall. */
  dayMs: number | undefined;
  /** The last ms that the text means, since midnight. */
  ofDayMs: number;
  offsetMs: number | undefined;
}

function namedTime(text: string): NamedTime | undefined {
  const date = DATE.exec(text);
  const afterDate = text.slice(date?.[0].length ?? 0);
  const time = TIME.exec(afterDate);
  const afterTime = afterDate.slice(time?.[0].length ?? 0);
  const zone = ZONE.exec(afterTime);
  if ((date === null && time === null) || (zone === null && afterTime !== "")) return undefined;
  const dayMs = date === null ? undefined : dayOf(date);
  const ofDayMs = time === null ? DAY_MS - 1 : timeOfDay(time);
  if (Number.isNaN(dayMs) || Number.isNaN(ofDayMs)) return undefined;
  return { dayMs, ofDayMs, offsetMs: zone === null ? undefined : offsetOf(zone) };
}

/** NaN for a day that no calendar has. */
function dayOf([, year, month, day]: RegExpExecArray): number {
  const dayMs = Date.UTC(Number(year), Number(month) - 1, Number(day));
  return new Date(dayMs).toISOString().startsWith(`${year}-${month}-${day}`) ? dayMs : Number.NaN;
}

/** NaN for a time that no clock shows. */
function timeOfDay([, hours, minutes, seconds, fraction]: RegExpExecArray): number {
  if (Number(hours) > 23 || Number(minutes) > 59 || Number(seconds ?? 0) > 59) return Number.NaN;
  const minuteMs = (Number(hours) * 60 + Number(minutes)) * MINUTE_MS;
  if (seconds === undefined) return minuteMs + MINUTE_MS - 1;
  const ms = fraction === undefined ? 999 : Number(fraction.slice(0, 3).padEnd(3, "0"));
  return minuteMs + Number(seconds) * 1_000 + ms;
}

function offsetOf([, utc, sign, hours, minutes]: RegExpExecArray): number {
  if (utc !== undefined) return 0;
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * MINUTE_MS;
}

function firstFrom(startedAt: number, ofDayMs: number, zone: ZoneOffset): number {
  const today = wallDay(startedAt, zone);
  const shown = [today, today + DAY_MS].flatMap((dayMs) => whenWallShows(dayMs + ofDayMs, zone));
  return shown.find((epochMs) => epochMs >= startedAt) ?? startedAt;
}
