/**
 * What more room would have saved: the run's own durations, scheduled again under other bounds.
 *
 * The schedule is the orchestrator's: what is ready goes by priority, then by the longest path that remains,
 * under the run's `maxParallel`; a role takes as many at once as it did at its busiest, where steps had to
 * wait for it. Roles that the same agent served share its places: they are one pool. Variants are compared with
 * the same schedule under the bounds as they were, not with the clock: so what is told is the gain of the change
 * alone.
 */
import { Heap } from "../workflow/heap.ts";
import { isAnswered } from "../workflow/reserved-roles.ts";
import { stepTimes, waitedFor } from "./critical-path.ts";
import { groupBy } from "./grouping.ts";
import { endOf, type Trace } from "./replay.ts";

export interface WhatIf {
  readonly change: string;
  /** How long the run would have taken, in ms, and how much less that is than under the bounds as they were. */
  readonly durationMs: number;
  readonly savedMs: number;
}

export interface WhatIfReport {
  /** The schedule under the bounds as they were. */
  readonly durationMs: number;
  /** Those that save something, the most first. */
  readonly variants: readonly WhatIf[];
}

/** One step as it is scheduled. */
export interface Job {
  readonly id: string;
  readonly role: string;
  /** After the last of them, before it takes a place: for its back-off, or for somebody outside. */
  readonly delayMs: number;
  readonly durationMs: number;
  /** Positions of what it waits for. */
  readonly after: readonly number[];
  readonly priority: number;
  readonly depth: number;
}

export interface Bounds {
  readonly maxParallel: number;
  /** Steps of a pool at once; one that is not in it is never short. */
  readonly perPool: ReadonlyMap<string, number>;
  /** The pool of each role that shares its agents with others; any other role is its own pool. */
  readonly poolOf: ReadonlyMap<string, string>;
}

/** Waiting below this for an agent is the time of a message, not a want of agents. */
const SHORT_OF_AGENTS_MS = 20;
/** A saving below this share of the run is not worth a word. */
const WORTH_TELLING = 0.01;

export function whatIf(trace: Trace, now = endOf(trace)): WhatIfReport {
  const jobs = jobsOf(trace, now);
  const poolOf = sharedPools(trace);
  const bounds: Bounds = {
    maxParallel: trace.fold.graph?.maxParallel ?? Number.POSITIVE_INFINITY,
    perPool: busiest(trace, poolOf, now),
    poolOf,
  };
  const durationMs = schedule(jobs, bounds);
  const variants: WhatIf[] = [];
  for (const [change, changed] of changes(bounds)) {
    const shorter = schedule(jobs, changed);
    // A larger change that saves no more than a smaller one is no advice.
    if (variants.some((smaller) => smaller.durationMs <= shorter)) continue;
    variants.push({ change, durationMs: shorter, savedMs: durationMs - shorter });
  }
  return {
    durationMs,
    variants: variants
      .filter(({ savedMs }) => savedMs >= durationMs * WORTH_TELLING && savedMs >= 1)
      .sort((a, b) => b.savedMs - a.savedMs),
  };
}

function* changes(bounds: Bounds): Iterable<[string, Bounds]> {
  const { maxParallel, perPool, poolOf } = bounds;
  yield [
    `maxParallel ${maxParallel * 2} instead of ${maxParallel}`,
    { ...bounds, maxParallel: maxParallel * 2 },
  ];
  yield ["no bound on steps in parallel", { ...bounds, maxParallel: Number.POSITIVE_INFINITY }];
  const shared = new Set(poolOf.values());
  for (const [pool, places] of perPool) {
    const more = new Map(perPool).set(pool, places + 1);
    const whose = shared.has(pool) ? `the agents of ${pool}` : `role ${pool}`;
    yield [`${places + 1} at once of ${whose} instead of ${places}`, { ...bounds, perPool: more }];
  }
  if (perPool.size === 0) return;
  yield ["as many agents as there is work for", { ...bounds, perPool: new Map() }];
  // Where each bound hides behind the other, only both together help.
  yield [
    "as many agents as there is work for, and no bound on steps in parallel",
    { maxParallel: Number.POSITIVE_INFINITY, perPool: new Map(), poolOf },
  ];
}

/** Roles that have an agent in common, directly or over others, by the names of all of them. */
function sharedPools({ dispatches }: Trace): Map<string, string> {
  const pools = new Map<string, Set<string>>();
  for (const [agent, spans] of groupBy(dispatches, (span) => span.agent ?? "")) {
    if (agent === "") continue;
    const joined = new Set(spans.flatMap(({ role }) => [role, ...(pools.get(role) ?? [])]));
    for (const role of joined) pools.set(role, joined);
  }
  return new Map(
    [...pools].flatMap(([role, roles]) =>
      roles.size < 2 ? [] : [[role, [...roles].sort().join(", ")] as const],
    ),
  );
}

/** Pools that steps had to wait for, with how many they ran at once at their busiest. */
function busiest(trace: Trace, poolOf: Bounds["poolOf"], now: number): Map<string, number> {
  const places = new Map<string, number>();
  for (const [pool, spans] of groupBy(trace.dispatches, ({ role }) => poolOf.get(role) ?? role)) {
    // Who answers from outside, and items that do the work of a step, are no agents that could be more.
    const begun = spans.filter(
      ({ startedAt, fannedOut, role }) => startedAt !== undefined && !fannedOut && !isAnswered(role),
    );
    const isShort = begun.some((span) => {
      // An agent leaves a retry to another one for a while, whoever is free.
      if (span.attempt > 1) return false;
      const given = span.dispatchedAt ?? span.readyAt;
      return (span.startedAt ?? given) - given > SHORT_OF_AGENTS_MS;
    });
    if (!isShort) continue;
    const changes = begun.flatMap((span) => [
      { at: span.startedAt ?? 0, by: 1 },
      { at: Math.max(span.startedAt ?? 0, span.endedAt ?? now), by: -1 },
    ]);
    changes.sort((a, b) => a.at - b.at || a.by - b.by);
    let running = 0;
    let most = 1;
    for (const { by } of changes) {
      running += by;
      most = Math.max(most, running);
    }
    places.set(pool, most);
  }
  return places;
}

/** Every step that was ever ready; one that fans out waits for its items and takes no time of its own. */
function jobsOf(trace: Trace, now: number): Job[] {
  const { steps } = trace.fold;
  const times = stepTimes(trace, now);
  const positions = new Map([...times.keys()].map((id, position) => [id, position]));
  return [...times.values()].map(({ step, role, runMs, backOffMs, outsideMs, stoodMs }) => ({
    id: step,
    role,
    delayMs: backOffMs + outsideMs + stoodMs,
    durationMs: runMs,
    after: waitedFor(trace, step, times).flatMap((id) => positions.get(id) ?? []),
    priority: steps?.has(step) ? steps.step(step).priority : 0,
    depth: steps?.has(step) ? steps.remainingDepth(step) : 0,
  }));
}

/** List scheduling. @returns when the last job ends, in ms */
export function schedule(jobs: readonly Job[], { maxParallel, perPool, poolOf }: Bounds): number {
  const awaited = jobs.map(({ after }) => after.length);
  const dependents: number[][] = jobs.map(() => []);
  for (const [position, { after }] of jobs.entries())
    for (const before of after) dependents[before]?.push(position);
  const pools = jobs.map(({ role }) => poolOf.get(role) ?? role);
  // One queue per pool: one without a free place must not stand in the way of others.
  const queues = new Map<string, Heap<number>>();
  const comesFirst = (a: number, b: number) => rank(jobs, a, b) < 0;
  // What happens next: a job's delay is over, or it ends.
  const coming = new Heap<{ position: number; at: number; ends: boolean }>((a, b) => a.at < b.at);
  const busy = new Map<string, number>();
  let inFlight = 0;
  let now = 0;
  const offer = (position: number) => {
    const pool = pools[position] ?? "";
    const queue = queues.get(pool) ?? new Heap<number>(comesFirst);
    queues.set(pool, queue);
    queue.push(position);
  };
  const next = (): number | undefined => {
    let best: { position: number; queue: Heap<number> } | undefined;
    for (const [pool, queue] of queues) {
      const position = queue.peek();
      if (position === undefined || (busy.get(pool) ?? 0) >= (perPool.get(pool) ?? Number.POSITIVE_INFINITY))
        continue;
      if (best === undefined || rank(jobs, position, best.position) < 0) best = { position, queue };
    }
    return best?.queue.pop();
  };
  const release = (position: number) => {
    const { delayMs = 0 } = jobs[position] ?? {};
    if (delayMs > 0) coming.push({ position, at: now + delayMs, ends: false });
    else offer(position);
  };
  for (const [position, count] of awaited.entries()) if (count === 0) release(position);
  while (true) {
    while (inFlight < maxParallel) {
      const position = next();
      if (position === undefined) break;
      const { durationMs } = jobs[position] as Job;
      const pool = pools[position] ?? "";
      inFlight += 1;
      busy.set(pool, (busy.get(pool) ?? 0) + 1);
      coming.push({ position, at: now + durationMs, ends: true });
    }
    const event = coming.pop();
    if (event === undefined) return now;
    now = event.at;
    if (!event.ends) {
      offer(event.position);
      continue;
    }
    inFlight -= 1;
    const pool = pools[event.position] ?? "";
    busy.set(pool, (busy.get(pool) ?? 1) - 1);
    for (const dependent of dependents[event.position] ?? []) {
      awaited[dependent] = (awaited[dependent] ?? 1) - 1;
      if (awaited[dependent] === 0) release(dependent);
    }
  }
}

function rank(jobs: readonly Job[], a: number, b: number): number {
  const [one, other] = [jobs[a] as Job, jobs[b] as Job];
  return other.priority - one.priority || other.depth - one.depth || a - b;
}
