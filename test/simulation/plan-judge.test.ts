/**
 * What the judges say of plans and of the advice behind them. Would catch: judges that let a plan pass which nobody
 * could carry out, which is not what was asked for or ruled out, or which follows what nobody said in time; and ones
 * that object to a plan that is right.
 */
import { expect, it } from "vitest";
import { KeptValues } from "../../src/simulation/kept-values.ts";
import { type Cards, judgePlans } from "../../src/simulation/plan-judge.ts";
import { questions } from "../../src/simulation/question-judge.ts";
import { Reference } from "../../src/simulation/reference.ts";
import { WORKFLOW_LANGUAGE } from "../../src/simulation/workflow-language.ts";
import type { WorkflowDocument, WorkflowStepDocument } from "../../src/workflow/document.ts";
import { LogWriter } from "../fold/log-writer.ts";

const CARDS: Cards = new Map([
  ["red.one", { gives: ["p0"] }],
  ["red.two", { needs: ["p0"], gives: ["p1"], when: "env.p0 != null" }],
  ["blue.other", { gives: ["p1"] }],
]);
const one: WorkflowStepDocument = { id: "one", agent: "red", task: "one", outputs: ["p0"] };
const two: WorkflowStepDocument = {
  id: "two",
  agent: "red",
  task: "two",
  inputs: { p0: "${env.p0}" },
  outputs: ["p1"],
  dependsOn: ["one"],
  when: "env.p0 != null",
};
const other: WorkflowStepDocument = { id: "other", agent: "blue", task: "other", outputs: ["p1"] };
/** “lantern” is the word for p1, “meadow” that for p0. */
const LANTERN = { goals: "the lantern" } as const;
type Asked = { goals: string } | { want: string[] };
const PROPOSED = { "(planner)": "the swarm's planner proposed p1, cost 2 (without it: p1, cost 1)" };

class PlannedLog extends LogWriter {
  readonly asked: Asked;

  constructor(asked: Asked) {
    super();
    this.asked = asked;
    this.add({ kind: "submit", body: { v: 1, ...asked, inputs: {}, environment: {} } });
    this.claim(1);
  }

  plan(steps: WorkflowDocument["steps"], reasons: Record<string, string> = {}): this {
    this.decide({ type: "plan", workflow: { steps }, cost: 1, optimal: true, explored: 0, reasons });
    return this;
  }

  ask(): this {
    const n = this.fold.consultations.asked.length + 1;
    this.decide({ type: "consult", n, task: "plan", about: "plan", round: n });
    return this;
  }

  answer(outputs: Record<string, unknown>): this {
    const n = this.fold.consultations.asked.length;
    this.result("~plan", { n, outputs }, "planner");
    return this;
  }

  /** Nobody answers in time. */
  giveUp(): this {
    const n = this.fold.consultations.asked.length;
    this.decide({ type: "timed-out", step: "~plan", n, code: "E_NO_ANSWER", afterMs: 10_000 });
    return this;
  }

  /** The rules that it breaks. */
  broken(): string[] {
    const reference = new Reference(undefined, WORKFLOW_LANGUAGE);
    for (const record of this.records) reference.apply(record);
    const submission = { v: 1, ...this.asked, inputs: {} } as const;
    const rules: string[] = [];
    const say = (rule: string): void => void rules.push(rule);
    judgePlans("r1", reference, submission, CARDS, say);
    questions("r1", reference, [], submission, new KeptValues(), say);
    return rules;
  }
}

it.each<[string, Asked, WorkflowStepDocument[], string[]]>([
  ["of two tasks in their order is right", LANTERN, [one, two], []],
  ["of another task for the same is right", { want: ["p1"] }, [other], []],
  [
    "has no task that nobody offers",
    LANTERN,
    [{ ...other, task: "magic" }],
    ["a plan is made of what agents can do"],
  ],
  [
    "has no expression that nobody offers",
    LANTERN,
    [one, { ...two, when: "true" }],
    ["a plan is made of what agents can do"],
  ],
  [
    "has no input that nobody needs",
    LANTERN,
    [{ ...other, inputs: { p9: "1" } }],
    ["a plan is made of what agents can do", "a plan has what its steps need"],
  ],
  ["gives what the goal says", LANTERN, [one], ["a plan leads to what was asked for"]],
  ["gives what is wanted by name", { want: ["p1"] }, [one], ["a plan leads to what was asked for"]],
  [
    "has nothing that the goal rules out",
    { goals: "the lantern without the meadow" },
    [one, two],
    ["a plan keeps to what its goal rules out"],
  ],
  ["has each step after what it needs", LANTERN, [two, one].map(alone), ["a plan has what its steps need"]],
])("a plan %s", (_, asked, steps, due) => {
  expect(new PlannedLog(asked).plan(steps).broken()).toEqual(due);
});

function alone({ dependsOn: _, ...step }: WorkflowStepDocument): WorkflowStepDocument {
  return step;
}

const DRAFT = { workflow: { steps: [{ id: "x", agent: "blue", task: "other" }] } };
const AS_TOLD = "a plan is as it is told to be proposed";

it.each<[string, (log: PlannedLog) => PlannedLog, string[]]>([
  ["as it was drafted is", (log) => log.ask().answer(DRAFT).plan([other], PROPOSED), []],
  [
    "of other tasks than were drafted is not",
    (log) => log.ask().answer(DRAFT).plan([one, two], PROPOSED),
    [AS_TOLD],
  ],
  [
    "with a task that was to be avoided is not",
    (log) =>
      log
        .ask()
        .answer({ avoid: [{ role: "blue", task: "other" }] })
        .plan([other], PROPOSED),
    [AS_TOLD],
  ],
  ["that nobody was asked about is not", (log) => log.plan([other], PROPOSED), [AS_TOLD]],
  [
    "whose answer came too late is not",
    (log) => log.ask().giveUp().answer(DRAFT).plan([other], PROPOSED),
    [AS_TOLD],
  ],
  ["made without advice need not be", (log) => log.ask().giveUp().answer(DRAFT).plan([one, two]), []],
])("a plan %s as it is told to be proposed", (_, write, due) => {
  expect(write(new PlannedLog(LANTERN)).broken()).toEqual(due);
});

it("a run that nobody could plan ends with the reason, and not with another one", () => {
  const failed = (code: string) => {
    const log = new PlannedLog(LANTERN);
    log.decide({ type: "end", status: "failed", error: { code, message: "no" } });
    return log.broken();
  };
  expect(failed("E_GOAL_UNCLEAR")).toEqual([]);
  expect(failed("E_PLANNING")).toEqual(["a run without a plan says why"]);
});
