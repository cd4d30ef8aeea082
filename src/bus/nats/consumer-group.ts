/**
 * The group of servers that keep copies of one consumer, in a cluster: what a look at it shows, and when it has to
 * be helped. Pure; `QueueGroups` does the looking and the helping.
 *
 * A nats-server 2.9 that comes back after a kill may not take up its copy of a consumer at all, while its copies of
 * all streams are up to date (seen in two clusters of three within three kills). It looks alive to the group, its lag
 * grows, and it has no vote: with the next server that dies the group has no leader, and the queue gives nothing out.
 *
 *  - G1 A server is out only if it is up: its copy of the consumer's stream is up to date. One that is down, or
 *    still reads what it has missed, is not helped.
 *  - G2 Help is asked for after looks in a row without progress, and more and more rarely (L8): what was helped in
 *    vain needs a person, not a storm.
 */

/** What the broker tells of the copies of a stream or a consumer. */
export interface Copies {
  leader?: string;
  replicas?: readonly { name: string; current: boolean; lag?: number }[];
}

/**
 * What one look shows. `out`: servers that are up but not in the group, with what they lag behind. `unknown`: the
 * broker did not tell, or the stream itself has no leader.
 */
export type GroupSight =
  | { is: "whole" }
  | { is: "out"; lags: ReadonlyMap<string, number> }
  | { is: "leaderless" }
  | { is: "unknown" };

/** @param consumer undefined: the broker says that it has no leader */
export function sightOf(consumer: Copies | undefined, stream: Copies): GroupSight {
  if (!stream.leader) return { is: "unknown" };
  if (!consumer?.leader) return { is: "leaderless" };
  const isUp = (server: string): boolean =>
    server === stream.leader ||
    stream.replicas?.some(({ name, current }) => name === server && current) === true;
  const out = (consumer.replicas ?? []).filter(({ name, current }) => !current && isUp(name)); // G1
  if (out.length === 0) return { is: "whole" };
  return { is: "out", lags: new Map(out.map(({ name, lag = 0 }) => [name, lag])) };
}

/**
 * Looks in a row that find no progress before a group is helped. A busy server is behind at any moment; an election
 * is over within one look.
 */
export const PATIENCE_LOOKS = { out: 3, leaderless: 2 } as const;
/** After a help so many looks at the most are waited for its effect; twice as many as after the one before. */
const LONGEST_REST_LOOKS = 64;

export interface GroupCondition {
  readonly sight: Exclude<GroupSight, { is: "unknown" }>;
  /** Looks in a row that found it like this, without progress. */
  readonly looks: number;
  /** How often it was helped since it is like this. */
  readonly helped: number;
  /** Looks until it may be helped again. */
  readonly rest: number;
}

export const WHOLE: GroupCondition = { sight: { is: "whole" }, looks: 0, helped: 0, rest: 0 };

/** `declare`: say again what the consumer is. `anew`: remove it and make it. */
export type Help = "declare" | "anew";

/** The condition after one more look, and how the group is to be helped now, if it is. */
export function assess(
  before: GroupCondition,
  sight: GroupSight,
): { condition: GroupCondition; help?: Help } {
  if (sight.is === "unknown") return { condition: before };
  if (sight.is === "whole") return { condition: WHOLE };
  if (sight.is !== before.sight.is) return { condition: { sight, looks: 1, helped: 0, rest: 0 } };
  const looks = isNearer(before.sight, sight) ? 1 : before.looks + 1;
  const rest = Math.max(0, before.rest - 1);
  if (looks < PATIENCE_LOOKS[sight.is] || rest > 0) {
    return { condition: { sight, looks, helped: before.helped, rest } };
  }
  const helped = before.helped + 1;
  // A server that is out seldom takes its copy up while there is no leader to bring it up to date.
  const help = sight.is === "leaderless" && helped > 1 ? "anew" : "declare";
  return { condition: { sight, looks, helped, rest: Math.min(2 ** helped, LONGEST_REST_LOOKS) }, help }; // G2
}

/** Whether every server that is out has caught up on something since the look before. */
function isNearer(before: GroupSight, now: GroupSight): boolean {
  if (before.is !== "out" || now.is !== "out") return false;
  return [...now.lags].every(([server, lag]) => lag < (before.lags.get(server) ?? Number.POSITIVE_INFINITY));
}
