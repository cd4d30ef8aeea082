/** Times, durations and numbers as people read them. */

// By twenty-four hours: milliseconds may follow, and nothing may stand between.
const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const ZONE = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const COUNT = new Intl.NumberFormat(undefined);

/** `840 ms`, `3.2 s`, `2 m 05 s`, `1 h 12 m`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${String(seconds % 60).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function clock(epochMs: number): string {
  return CLOCK.format(epochMs);
}

/** The time of today, else the day with it. */
export function moment(epochMs: number, now: number): string {
  const sameDay = new Date(epochMs).toDateString() === new Date(now).toDateString();
  return sameDay ? CLOCK.format(epochMs) : `${DAY.format(epochMs)}, ${CLOCK.format(epochMs)}`;
}

/** With milliseconds: for places where the order of things matters. */
export function exactClock(epochMs: number): string {
  return `${CLOCK.format(epochMs)}.${String(epochMs % 1_000).padStart(3, "0")}`;
}

/** The zone in which times are shown, as it is at this time: `UTC`, `GMT+2`. */
export function zone(epochMs: number): string {
  return ZONE.formatToParts(epochMs).find(({ type }) => type === "timeZoneName")?.value ?? "";
}

export function ago(ms: number): string {
  if (ms < 2_000) return "now";
  return `${duration(ms)} ago`;
}

export function count(amount: number): string {
  return COUNT.format(amount);
}

/** Dollars; of less than a cent the first digits that are not zero. */
export function money(usd: number): string {
  return `$${usd < 0.01 ? Number(usd.toPrecision(2)) : usd.toFixed(2)}`;
}

export function plural(amount: number, one: string, many = `${one}s`): string {
  return `${count(amount)} ${amount === 1 ? one : many}`;
}

/** `resize[3]` for the item `resize~3` of a fan-out. */
export function stepLabel(ref: string): string {
  return ref.replace(/~(\d+)/, "[$1]");
}

export function bytes(amount: number): string {
  if (amount < 1_024) return `${amount} B`;
  if (amount < 1_024 ** 2) return `${(amount / 1_024).toFixed(1)} KiB`;
  return `${(amount / 1_024 ** 2).toFixed(1)} MiB`;
}

/** The words of a search, in small letters. */
export function wordsOf(search: string): string[] {
  return search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
}
