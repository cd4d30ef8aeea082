/**
 * The step machine's table against XState's own interpreter.
 * Catches: a table that moves a step elsewhere than the definition says, forgets an assignment or applies it
 * in another order, ignores a guard; and a machine that is not flat being carried out wrongly in silence.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assign, createActor, createMachine, initialTransition, transition } from "xstate";
import { flatLogic } from "../../src/machines/flat-logic.ts";
import { type StepEvent, stepLogic, stepMachine } from "../../src/machines/step.ts";

const error = fc.record({ name: fc.constant("Error"), message: fc.string(), retryable: fc.boolean() });
const name = fc.constantFrom("loader", "expert", "fixer");

const event: fc.Arbitrary<StepEvent> = fc.oneof(
  fc.constantFrom<StepEvent>(
    { type: "dependencies met" },
    { type: "skip" },
    { type: "complete" },
    { type: "lose" },
    { type: "cancel" },
  ),
  fc.record({ type: fc.constant("start" as const), agent: name }),
  fc.record({ type: fc.constantFrom("refuse" as const, "fail" as const, "time out" as const), error }),
  fc.record({
    type: fc.constant("hand off" as const),
    role: name,
    task: name,
    inputs: fc.dictionary(name, fc.integer()),
    reason: fc.string(),
  }),
  fc.record({ type: fc.constant("reopen" as const), role: fc.option(name, { nil: undefined }) }),
);

const input = fc.record({
  id: fc.constant("load"),
  role: name,
  task: name,
  maxAttempts: fc.integer({ min: 1, max: 3 }),
});

describe("the step machine's table", () => {
  it("stands after any events where XState stands", () => {
    // Mostly sensible beginnings: from pending, few random events lead anywhere.
    const sequence = fc.tuple(fc.boolean(), fc.array(event, { maxLength: 40 }));
    fc.assert(
      fc.property(input, sequence, (given, [begun, events]) => {
        let flat = stepLogic.initial(given);
        let [full] = initialTransition(stepMachine, given);
        const first: StepEvent[] = begun ? [{ type: "dependencies met" }, { type: "start", agent: "a" }] : [];
        for (const next of [...first, ...events]) {
          flat = stepLogic.next(flat, next);
          [full] = transition(stepMachine, full, next);
          expect({ value: flat.value, context: flat.context, status: flat.status }).toEqual({
            value: full.value,
            context: full.context,
            status: full.status,
          });
        }
      }),
    );
  });

  it("gives back the same snapshot for an event that its state refuses", () => {
    const pending = stepLogic.initial({ id: "load", role: "loader", task: "load", maxAttempts: 1 });
    expect(stepLogic.next(pending, { type: "complete" })).toBe(pending);
  });

  it("drives an actor that ends with its final state", () => {
    const given = { id: "load", role: "loader", task: "load", maxAttempts: 1 };
    const actor = createActor(stepLogic, { input: given }).start();
    actor.send({ type: "dependencies met" });
    actor.send({ type: "start", agent: "loader-1" });
    expect(actor.getSnapshot()).toMatchObject({ value: "running", status: "active" });
    actor.send({ type: "complete" });
    expect(actor.getSnapshot()).toMatchObject({ value: "done", status: "done" });
  });
});

describe("a machine that is not flat is refused", () => {
  const machines = {
    "nested states": { initial: "a", states: { a: { initial: "b", states: { b: {} } } } },
    "an entry action": { initial: "a", states: { a: { entry: () => undefined } } },
    "an eventless transition": { initial: "a", states: { a: { always: "b" }, b: {} } },
    "a delay": { initial: "a", states: { a: { after: { 10: "b" } }, b: {} } },
    "an action with effects": { initial: "a", states: { a: { on: { go: { actions: () => undefined } } } } },
    "a wildcard": { initial: "a", states: { a: { on: { "*": "b" } }, b: {} } },
    "a transition of the machine": { initial: "a", on: { stop: ".a" }, states: { a: {} } },
  };

  it.each(Object.entries(machines))("for %s", (_, config) => {
    expect(() => flatLogic(createMachine(config))).toThrow(/is not flat/);
  });

  it("and one that only assigns is not", () => {
    const machine = createMachine({
      context: { count: 0 },
      initial: "a",
      states: { a: { on: { go: { actions: assign({ count: ({ context }) => context.count + 1 }) } } } },
    });
    const logic = flatLogic(machine);
    expect(logic.next(logic.initial(undefined), { type: "go" }).context).toEqual({ count: 1 });
  });
});
