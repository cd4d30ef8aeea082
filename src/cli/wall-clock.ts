/**
 * Times as the clock on the wall shows them: in the zone of whoever sits at the terminal.
 *
 * Owns both directions, so that a time that was printed can be typed in again and means the same. Where the
 * zone comes from is handed in (L7). Data for programs never goes through here: that is UTC.
 */

const DAY_MS = 24 * 60 * 60_000;
const MINUTE_MS = 60_000;

/** How far the zone is east of UTC at a time, in ms. */
export type ZoneOffset = (epochMs: number) => number;

/** ISO 8601 with milliseconds and the zone's distance; `Z` where there is none. */
export function wallTime(epochMs: number, zoneOffsetMs: ZoneOffset): string {
  const offsetMs = zoneOffsetMs(epochMs);
  const text = new Date(epochMs + offsetMs).toISOString();
  if (offsetMs === 0) return text;
  const minutes = Math.abs(offsetMs) / MINUTE_MS;
  const two = (amount: number) => String(Math.floor(amount)).padStart(2, "0");
  return `${text.slice(0, -1)}${offsetMs < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`;
}

/** Midnight of the day that the wall shows, in the wall's own ms. */
export function wallDay(epochMs: number, zoneOffsetMs: ZoneOffset): number {
  const wallMs = epochMs + zoneOffsetMs(epochMs);
  return wallMs - (((wallMs % DAY_MS) + DAY_MS) % DAY_MS);
}

/**
 * When the wall shows this, in epoch ms, oldest first: twice where clocks are put back. A time that is left out
 * where they are put forward is taken as if they had not been yet.
 */
export function whenWallShows(wallMs: number, zoneOffsetMs: ZoneOffset): number[] {
  const [before, after] = [zoneOffsetMs(wallMs - DAY_MS), zoneOffsetMs(wallMs + DAY_MS)];
  const shown = [...new Set([wallMs - before, wallMs - after])].filter(
    (epochMs) => epochMs + zoneOffsetMs(epochMs) === wallMs,
  );
  return shown.length > 0 ? shown.sort((a, b) => a - b) : [wallMs - before];
}
