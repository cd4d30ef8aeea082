/**
 * Turns a set of chosen tasks into steps: which step writes each key, which steps wait for which.
 *
 * A set is a plan when it can run in some order. Here every key gets the one step that can write it first,
 * and a step depends on the writers of what it requires; since a writer always runs in an earlier wave than
 * its readers, no cycle can arise from needs. Optional keys (`uses`) are added afterwards, each only while
 * it closes no cycle. Dependencies that others imply are left out.
 *
 * Every key is declared as output by exactly one step, so that no two steps write one key.
 */
import { incidenceOf, levelsOf } from "./hypergraph.ts";
import { compareText, type PlannedTask, type PlanningProblem, unique } from "./problem.ts";
import { keep } from "./relevance.ts";

export interface Assignment {
  readonly task: PlannedTask;
  readonly id: string;
  /** The wave in which it can run, from 1. */
  readonly level: number;
  /** What it takes: keys by where their values are. */
  readonly takes: readonly { readonly key: string; readonly from: "env" | "inputs" }[];
  /** Keys that this step, and no other, writes. */
  readonly writes: readonly string[];
  /** Ids, sorted as the steps are; transitively reduced. */
  readonly dependsOn: readonly string[];
}

export interface AssignedPlan {
  /** In an order in which they could run. */
  readonly steps: readonly Assignment[];
  readonly writerOf: ReadonlyMap<string, string>;
  /** Ids of the steps that read a key, by key. */
  readonly readersOf: ReadonlyMap<string, readonly string[]>;
}

/** What a plan goes on from, when some steps are there already. */
export interface Continuation {
  /** Steps that stay, by the keys that they write. */
  readonly writers: ReadonlyMap<string, string>;
  readonly takenIds: ReadonlySet<string>;
  /** Ids to be given again, by `role.task`. */
  readonly formerIds: ReadonlyMap<string, string>;
}

const FRESH: Continuation = { writers: new Map(), takenIds: new Set(), formerIds: new Map() };

interface Draft {
  readonly task: PlannedTask;
  readonly level: number;
  readonly waitsFor: Set<Draft>;
  readonly takes: Map<string, "env" | "inputs">;
  readonly writes: string[];
}

export function assignSteps(
  problem: PlanningProblem,
  origins: readonly number[],
  continuation: Continuation = FRESH,
): AssignedPlan {
  const drafts = inWaves(problem, origins);
  const writers = assignWriters(problem, drafts);
  for (const draft of drafts) {
    for (const key of draft.task.requires) {
      const writer = writers.get(key);
      if (problem.holds(key) === undefined && writer !== undefined) draft.waitsFor.add(writer);
    }
    for (const key of draft.task.capability.needs) draft.takes.set(key, problem.holds(key) ?? "env");
  }
  addOptionalKeys(problem, drafts, writers);
  return named(drafts, writers, continuation);
}

function inWaves(problem: PlanningProblem, origins: readonly number[]): Draft[] {
  const wanted = new Set(origins);
  const chosen = keep(problem.graph, (index) => wanted.has(index));
  const levels = levelsOf(chosen, incidenceOf(chosen));
  const drafts = chosen.operators.map((operator, index): Draft => {
    const task = problem.tasks[operator.origin] as PlannedTask;
    const level = levels.operator[index] as number;
    // Steps that wait for each other would be put in order for ever.
    if (level === 0) throw new Error(`the plan has ${task.capability.name}, which cannot run in it`);
    return { task, level, waitsFor: new Set(), takes: new Map(), writes: [] };
  });
  // Stable: within a wave, the canonical order of tasks stands.
  return drafts.sort((a, b) => a.level - b.level);
}

function assignWriters(problem: PlanningProblem, drafts: readonly Draft[]): Map<string, Draft> {
  const writers = new Map<string, Draft>();
  for (const draft of drafts) {
    for (const key of unique(draft.task.capability.gives)) {
      if (writers.has(key) || problem.holds(key) === "env") continue;
      // It was there before this task, or the task could not run.
      if (draft.task.requires.includes(key)) continue;
      writers.set(key, draft);
      draft.writes.push(key);
    }
  }
  return writers;
}

function addOptionalKeys(
  problem: PlanningProblem,
  drafts: readonly Draft[],
  writers: ReadonlyMap<string, Draft>,
): void {
  for (const draft of drafts) {
    for (const key of [...(draft.task.capability.uses ?? [])].sort(compareText)) {
      if (draft.takes.has(key)) continue;
      const held = problem.holds(key);
      const writer = writers.get(key);
      if (held !== undefined) {
        draft.takes.set(key, held);
      } else if (writer !== undefined && !waitsFor(writer, draft)) {
        draft.waitsFor.add(writer);
        draft.takes.set(key, "env");
      }
    }
  }
}

/** Whether `step` waits for `other`, directly or not, or is it. */
function waitsFor(step: Draft, other: Draft): boolean {
  const seen = new Set<Draft>([step]);
  const pending = [step];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    if (at === other) return true;
    for (const next of at.waitsFor) {
      if (seen.has(next)) continue;
      seen.add(next);
      pending.push(next);
    }
  }
  return false;
}

function named(
  unordered: readonly Draft[],
  writers: ReadonlyMap<string, Draft>,
  continuation: Continuation,
): AssignedPlan {
  const drafts = inRunningOrder(unordered);
  const ids = nameSteps(drafts, continuation);
  const idOf = (draft: Draft): string => ids.get(draft) as string;
  const readersOf = new Map<string, string[]>();
  const place = new Map(drafts.map((draft, index) => [draft, index]));
  const steps = drafts.map((draft): Assignment => {
    for (const key of new Set([...draft.takes.keys(), ...draft.task.requires])) {
      readersOf.set(key, [...(readersOf.get(key) ?? []), idOf(draft)]);
    }
    return {
      task: draft.task,
      id: idOf(draft),
      level: draft.level,
      takes: [...draft.takes].map(([key, from]) => ({ key, from })),
      writes: draft.writes,
      dependsOn: [
        ...standingWriters(draft, continuation),
        ...withoutImplied(draft)
          .sort((a, b) => (place.get(a) as number) - (place.get(b) as number))
          .map(idOf),
      ],
    };
  });
  return {
    steps,
    writerOf: new Map([...writers].map(([key, draft]) => [key, idOf(draft)])),
    readersOf,
  };
}

/** Optional keys may have put a step behind one of a later wave: sorts again, waves first. */
function inRunningOrder(drafts: readonly Draft[]): Draft[] {
  const order: Draft[] = [];
  const placed = new Set<Draft>();
  for (const start of drafts) {
    // Depth first without recursion: a chain may be as long as the plan.
    const stack = [start];
    for (let at = stack.at(-1); at !== undefined; at = stack.at(-1)) {
      const open = placed.has(at) ? [] : [...at.waitsFor].filter((next) => !placed.has(next));
      const next = open.at(-1);
      if (next !== undefined) {
        stack.push(next);
        continue;
      }
      stack.pop();
      if (placed.has(at)) continue;
      placed.add(at);
      order.push(at);
    }
  }
  return order;
}

/** Steps that stay and write what this one reads. */
function standingWriters(draft: Draft, { writers }: Continuation): string[] {
  const keys = new Set([...draft.takes.keys(), ...draft.task.requires]);
  return unique([...keys].flatMap((key) => writers.get(key) ?? []));
}

function withoutImplied(draft: Draft): Draft[] {
  const direct = [...draft.waitsFor];
  return direct.filter((one) => !direct.some((other) => other !== one && waitsFor(other, one)));
}

/** `<task>`; where that is taken `<role>-<task>`; where that is taken too, with a number. */
function nameSteps(drafts: readonly Draft[], continuation: Continuation): Map<Draft, string> {
  const uses = new Map<string, number>();
  for (const { task } of drafts) {
    uses.set(task.capability.name, (uses.get(task.capability.name) ?? 0) + 1);
  }
  const taken = new Set(continuation.takenIds);
  const ids = new Map<Draft, string>();
  for (const draft of drafts) {
    const former = continuation.formerIds.get(`${draft.task.role}.${draft.task.capability.name}`);
    if (former === undefined || taken.has(former)) continue;
    ids.set(draft, former);
    taken.add(former);
  }
  for (const draft of drafts) {
    if (ids.has(draft)) continue;
    const { role, capability } = draft.task;
    const plain = capability.name;
    const full = `${role}-${plain}`.slice(0, MAX_ID_CHARS);
    let id = uses.get(plain) === 1 && !taken.has(plain) ? plain : full;
    for (let number = 2; taken.has(id); number++) {
      const suffix = `-${number}`;
      id = `${full.slice(0, MAX_ID_CHARS - suffix.length)}${suffix}`;
    }
    taken.add(id);
    ids.set(draft, id);
  }
  return ids;
}

const MAX_ID_CHARS = 64;
