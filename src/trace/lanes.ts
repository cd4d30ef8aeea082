/**
 * Lanes: spans side by side that overlap in time, laid so that no lane holds two at once.
 *
 * An agent that runs several tasks at a time needs several rows in a picture. First fit in order of start
 * gives the fewest that will do.
 */

export interface Interval {
  readonly from: number;
  readonly to: number;
}

/** The lane of every interval, from 0, in the order given. The intervals must be in order of start. */
export function lanesOf(intervals: readonly Interval[]): number[] {
  const busyUntil: number[] = [];
  return intervals.map(({ from, to }) => {
    const free = busyUntil.findIndex((until) => until <= from);
    const lane = free < 0 ? busyUntil.length : free;
    busyUntil[lane] = Math.max(to, from);
    return lane;
  });
}
