/**
 * A flat state machine as actor logic: the same definition, the same transitions, a tenth of the time.
 *
 * XState's own interpreter is made for nested and parallel states, and works out at every event what is left,
 * entered and raised; where a step costs three events and a run has thousands of steps, that is half of all
 * the orchestrator does. A machine whose states are atomic or final, and whose only actions assign, has
 * nothing of that to work out. This file reads such a machine's definition once, into a table, and moves by it.
 *
 * It owns no states, guards or actions: all of them come from the machine. A machine that is not of this kind
 * is refused when the table is made. A test holds every state and event against XState's `transition`.
 */
import type {
  ActorLogic,
  AnyStateMachine,
  ContextFrom,
  EventFrom,
  InputFrom,
  Snapshot,
  StateNode,
} from "xstate";

/** Where a flat machine stands. */
export type FlatSnapshot<Value extends string, Context> = Snapshot<undefined> & {
  readonly value: Value;
  readonly context: Context;
};

export type FlatLogic<Value extends string, Context, Event extends { type: string }, Input> = ActorLogic<
  FlatSnapshot<Value, Context>,
  Event,
  Input
> & {
  /** The snapshot after the event; the very same one when the event moves nothing. */
  next(snapshot: FlatSnapshot<Value, Context>, event: Event): FlatSnapshot<Value, Context>;
  initial(input: Input): FlatSnapshot<Value, Context>;
};

type Arguments = { context: unknown; event: unknown };
type Guard = (given: Arguments) => boolean;
type Assignment = ((given: Arguments) => object) | Readonly<Record<string, unknown>>;

interface Branch {
  guard: Guard | undefined;
  assignments: readonly Assignment[];
  target: string | undefined;
}

/** @throws Error when the machine has anything that this cannot carry out: a mistake in the definition */
export function flatLogic<Machine extends AnyStateMachine, Value extends string>(
  machine: Machine,
): FlatLogic<Value, ContextFrom<Machine>, EventFrom<Machine>, InputFrom<Machine>> {
  type Context = ContextFrom<Machine>;
  type Status = FlatSnapshot<Value, Context>;
  const table = readTable(machine);
  const finals = new Set(Object.keys(machine.states).filter((key) => machine.states[key]?.type === "final"));
  const start = machine.root.initial.target[0]?.key as Value;
  const contextOf = machine.config.context as ((given: { input: InputFrom<Machine> }) => Context) | Context;

  const standing = (value: Value, context: Context): Status => ({
    status: finals.has(value) ? "done" : "active",
    output: undefined,
    error: undefined,
    value,
    context,
  });

  const initial = (input: InputFrom<Machine>): Status => {
    const context = typeof contextOf === "function" ? contextOf({ input }) : contextOf;
    return standing(start, context);
  };

  const next = (snapshot: Status, event: EventFrom<Machine>): Status => {
    const branches = table.get(snapshot.value)?.get((event as { type: string }).type);
    if (branches === undefined) return snapshot;
    const given = { context: snapshot.context, event };
    for (const { guard, assignments, target } of branches) {
      if (guard !== undefined && !guard(given)) continue;
      let context = snapshot.context;
      for (const assignment of assignments) context = assigned(context, event, assignment);
      return standing((target ?? snapshot.value) as Value, context);
    }
    return snapshot;
  };

  return {
    config: machine.config,
    initial,
    next,
    getInitialSnapshot: (_, input) => initial(input),
    transition: (snapshot, event) => next(snapshot, event),
    getPersistedSnapshot: (snapshot) => snapshot,
  };
}

function assigned<Context>(context: Context, event: unknown, assignment: Assignment): Context {
  const given = { context, event };
  if (typeof assignment === "function") return { ...context, ...assignment(given) };
  const after: Record<string, unknown> = { ...(context as Record<string, unknown>) };
  for (const key of Object.keys(assignment)) {
    const value = assignment[key];
    after[key] = typeof value === "function" ? value(given) : value;
  }
  return after as Context;
}

type Table = ReadonlyMap<string, ReadonlyMap<string, readonly Branch[]>>;

function readTable(machine: AnyStateMachine): Table {
  const refuse = (what: string): never => {
    throw new Error(`machine ${machine.id} is not flat: ${what}`);
  };
  const { root } = machine;
  if (root.transitions.size > 0) refuse("it has transitions of its own");
  const rows = new Map<string, Map<string, Branch[]>>();
  for (const node of [root, ...Object.values(machine.states)] as StateNode[]) {
    if (node !== root && node.type !== "atomic" && node.type !== "final")
      refuse(`${node.key} is ${node.type}`);
    if (node.entry.length > 0 || node.exit.length > 0) refuse(`${node.key} acts on entry or exit`);
    if ((node.always ?? []).length > 0) refuse(`${node.key} moves without an event`);
    if (node.invoke.length > 0 || node.after.length > 0) refuse(`${node.key} invokes or waits`);
    if (node === root) continue;
    const row = new Map<string, Branch[]>();
    rows.set(node.key, row);
    for (const [type, candidates] of node.transitions) {
      if (type.includes("*")) refuse(`${node.key} takes any event`);
      const branches = candidates.map(({ guard, actions, target }) => {
        if ((target?.length ?? 0) > 1) refuse(`${node.key} has several targets`);
        return {
          guard: guard === undefined ? undefined : readGuard(machine, guard, refuse),
          assignments: actions.map((action) => readAssignment(machine, action, refuse)),
          target: target?.[0]?.key,
        };
      });
      row.set(type, branches);
    }
  }
  return rows;
}

function readGuard(machine: AnyStateMachine, guard: unknown, refuse: (what: string) => never): Guard {
  const named = typeof guard === "string" ? machine.implementations.guards[guard] : guard;
  // Guards made by `and`, `or` and `not` carry a `check`: they need XState's evaluation.
  if (typeof named === "function" && !("check" in named)) return named as unknown as Guard;
  return refuse(`guard ${String(guard)} is no plain function`);
}

function readAssignment(
  machine: AnyStateMachine,
  action: unknown,
  refuse: (what: string) => never,
): Assignment {
  const named = typeof action === "string" ? machine.implementations.actions[action] : action;
  if (
    typeof named === "function" &&
    "type" in named &&
    named.type === "xstate.assign" &&
    "assignment" in named
  )
    return named.assignment as Assignment;
  return refuse(`action ${String(action)} does more than assign`);
}
