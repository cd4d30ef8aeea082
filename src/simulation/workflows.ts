/**
 * Random workflows, and what their tasks do.
 *
 * A step's inputs carry its script: how long it takes, at which attempts it fails, to whom it is handed. What
 * it gives is a function of its inputs alone, so that a judge can tell what the environment has to be.
 */
import type { WorkflowDocument, WorkflowStepDocument } from "../workflow/document.ts";
import type { Chance } from "./chance.ts";
import { askedBy, type Wish } from "./goals.ts";

export const ROLES = ["red", "green", "blue"] as const;
/** The name of the error that a flaky task throws. */
export const FLAKY_ERROR = "FlakyError";
/** A role that can do what others failed to do. */
export const SPARE_ROLE = "spare";

export interface Script {
  act:
    | "work"
    /** Throws, retryable, while the attempt is at most `until`. */
    | "flaky"
    /** Throws, not retryable. */
    | "refuse"
    /** Gives the step away `until` times. */
    | "pass"
    /** Sets a key in mid-step. */
    | "midway"
    /** Never ends while the attempt is at most `until`. */
    | "hang"
    /** Kills its process the first `until` times. */
    | "poison"
    /** Returns no object. */
    | "nonsense"
    /** Lacks a declared output. */
    | "lacking";
  ms: number;
  until: number;
  /** Whether its code ends when its signal fires. */
  heeds: boolean;
  /** How much is put beside the number that it gives. */
  bulk?: number;
}

/** Values of a run with bulky ones go by claim check from here on. */
export const BULKY_FROM_BYTES = 1_024;
/** Alone too large for a message, together, or not at all. */
const BULKS = [100, 700, 1_500, 3_000] as const;

/** A number with something beside it, so that whoever wants to compare it has to look inside. */
interface Bulky {
  n: number;
  pad: string;
}

const bulky = (n: number, bulk: number): Bulky => ({ n, pad: "x".repeat(bulk) });
export const randomBulky = (chance: Chance, n: number): Bulky => bulky(n, chance.pick(BULKS));
/** The number that is meant; undefined: there is none. */
export function numberIn(value: unknown): number | undefined {
  const inner = typeof value === "object" && value !== null && "n" in value ? value.n : value;
  return typeof inner === "number" ? inner : undefined;
}

/** Of `s3`, and of `s3~1`, one of its items. */
const placeOf = (step: string): number => Number.parseInt(step.slice(1), 10);
export const outputKey = (step: string): string => `v${placeOf(step)}`;
export const midwayKey = (step: string): string => `m${placeOf(step)}`;
/** Every key that a step can write, for the card of the spare role. */
export const MAX_STEPS = 14;
export const ALL_KEYS = Array.from({ length: MAX_STEPS }, (_, at) => [`v${at}`, `m${at}`]).flat();

/** What a step gives: from its inputs, whoever does it and however often. */
export function productOf(step: string, inputs: Readonly<Record<string, unknown>>): number {
  let sum = placeOf(step) * 7 + 3;
  for (const name of Object.keys(inputs).sort()) {
    if (name === "script") continue;
    sum = (sum * 31 + (numberIn(inputs[name]) ?? 17)) % 997;
  }
  return sum;
}

/** The same, as bulky as its script says. */
export function givenBy(step: string, inputs: Readonly<Record<string, unknown>>): number | Bulky {
  const { bulk } = (inputs.script ?? {}) as Partial<Script>;
  const product = productOf(step, inputs);
  return bulk === undefined ? product : bulky(product, bulk);
}

/** The name of a workflow that ends by being cancelled, or never. */
export const ENDLESS = "endless";
const ENDLESS_WORKFLOW: WorkflowDocument = {
  name: ENDLESS,
  steps: [{ id: "s0", agent: "signal", task: "never", inputs: {}, outputs: [outputKey("s0")] }],
};
/** Runs below one another. */
const MOST_NESTED = 2;
const NESTED_STEPS = 3;

export interface WorkflowTraits {
  /** Whether some of its values are bulky. */
  bulk: boolean;
  /** What a nested run may be asked for in the place of a workflow; undefined: nobody could plan one. */
  wish: ((chance: Chance) => Wish) | undefined;
}

export function randomWorkflow(
  chance: Chance,
  maxSteps: number,
  traits: WorkflowTraits,
  depth = 0,
): WorkflowDocument {
  const { bulk, wish } = traits;
  const count = chance.between(1, Math.min(maxSteps, chance.happens(0.3) ? MAX_STEPS : 7));
  const steps: WorkflowStepDocument[] = [];
  /** Steps that are closed for sure before the step with this position starts. */
  const before: Set<number>[] = [];
  for (let at = 0; at < count; at++) {
    const isNested = depth < MOST_NESTED && chance.happens(wish === undefined ? 0.07 : 0.2);
    const planned =
      isNested && wish && chance.happens(0.6) ? plannedStep(chance, `s${at}`, wish, steps) : undefined;
    const step =
      planned ?? (isNested ? nestedStep(chance, `s${at}`, traits, depth) : randomStep(chance, at, bulk));
    const dependencies = at === 0 ? [] : [...new Set(dependenciesOf(chance, at))];
    const sure = new Set<number>();
    if (dependencies.length > 0) {
      step.dependsOn = dependencies.map((position) => `s${position}`);
      const loose = dependencies.length > 1 && chance.happens(0.2);
      if (loose) step.join = chance.happens(0.5) ? "any" : chance.between(1, dependencies.length);
      else
        for (const position of dependencies)
          for (const one of [position, ...(before[position] ?? [])]) sure.add(one);
    }
    before.push(sure);
    const givers = new Map([...sure].map((position) => [givenKey(steps[position]), steps[position]]));
    const readable = ["e0", ...givers.keys()];
    const isList = (key: string) => givesList(givers.get(key));
    const single = readable.filter((one) => !isList(one));
    /** Where the number of a key is. */
    const numberAt = (key: string): string => (givesBulk(givers.get(key)) ? `env.${key}.n` : `env.${key}`);
    if (isNested)
      Object.assign(step.inputs?.environment as object, { e0: `\${${numberAt(chance.pick(single))}}` });
    for (const [place, key] of chance.some(isNested ? [] : readable, 0.5).entries()) {
      const looks = !isList(key) && bulk && chance.happens(0.3);
      (step.inputs as Record<string, unknown>)[`a${place}`] = `\${${looks ? numberAt(key) : `env.${key}`}}`;
    }
    if (chance.happens(0.15)) {
      const key = chance.pick(single);
      step.when = `env.${key} != null && ${numberAt(key)} > ${chance.between(0, 900)}.0`;
    }
    steps.push(step);
  }
  const environment = randomSchemas(chance.branch("schemas"), steps);
  return {
    name: "simulated",
    steps,
    ...(Object.keys(environment).length > 0 ? { environment } : {}),
    ...(chance.happens(0.15) ? { budget: randomBudget(chance, count) } : {}),
    ...(chance.happens(0.7) ? { maxParallel: chance.between(1, 4) } : {}),
    ...(chance.happens(0.1) ? { timeout: `${chance.between(20, 120)}s` } : {}),
    ...(chance.happens(0.4)
      ? { outputs: { last: `\${env.${givenKey(steps.at(-1))}}`, first: `\${env.${givenKey(steps[0])}}` } }
      : {}),
  };
}

/** The key of a value that nobody is shown who looks at the run. */
export const SECRET_KEY = "token";
/** Also such as look different in JSON and in an address. */
export const randomSecret = (chance: Chance): string =>
  `${chance.pick(["sesame-", 'say "open" & ', "50% of /a\\b "])}${chance.between(10_000, 99_999)}`;

/** Some of its tasks are given the secret. */
export function withSecret(chance: Chance, workflow: WorkflowDocument): WorkflowDocument {
  const steps = workflow.steps.map((step) => {
    if (step.inputs?.script === undefined || !chance.happens(0.5)) return step;
    return { ...step, inputs: { ...step.inputs, [SECRET_KEY]: `\${env.${SECRET_KEY}}` } };
  });
  return { ...workflow, secrets: [SECRET_KEY], steps };
}

/** Values are at most 996, and people set small ones: some of them are too large for their key. */
function randomSchemas(
  chance: Chance,
  steps: readonly WorkflowStepDocument[],
): NonNullable<WorkflowDocument["environment"]> {
  const single = steps.filter((step) => !givesList(step)).map(givenKey);
  return Object.fromEntries(
    chance.some(single, 0.05).map((key) => {
      const maximum = chance.between(100, 990);
      const schema = {
        type: ["number", "null", "object"],
        maximum,
        properties: { n: { type: "number", maximum } },
      };
      return [key, { schema }];
    }),
  );
}

function dependenciesOf(chance: Chance, at: number): number[] {
  const wanted = chance.pick([0, 1, 1, 1, 2, 2, 3]);
  return Array.from({ length: wanted }, () => chance.between(Math.max(0, at - 5), at - 1));
}

function randomStep(chance: Chance, at: number, bulk: boolean): WorkflowStepDocument {
  const id = `s${at}`;
  if (chance.happens(0.06)) return waitingStep(chance, id);
  const script = randomScript(chance);
  if (bulk && chance.happens(0.5)) script.bulk = chance.pick(BULKS);
  const outputs = [outputKey(id)];
  const step: WorkflowStepDocument = {
    id,
    agent: chance.pick(ROLES),
    task: "work",
    inputs: { script },
    outputs,
  };
  if (chance.happens(0.6)) {
    step.retry = {
      maxAttempts: chance.between(1, 4),
      initial: chance.pick(["100ms", "1s", "5s"]),
      factor: chance.pick([1, 2, 3]),
      max: "10s",
      jitter: chance.pick([0, 0.2]),
      ...(chance.happens(0.15) ? { nonRetryable: [chance.pick([FLAKY_ERROR, "E_TIMEOUT"])] } : {}),
    };
  }
  const mustBound = script.act === "hang" || (script.act === "poison" && chance.happens(0.3));
  if (mustBound || chance.happens(0.15)) step.timeout = chance.pick(["4s", "9s", "25s"]);
  if (chance.happens(0.15)) step.timeouts = randomTimeouts(chance);
  if (chance.happens(0.3)) step.onFailure = chance.pick(["continue", "continue", "recover", "fail"]);
  if (step.onFailure === "recover" && chance.happens(0.4)) step.ask = randomAsk(chance);
  if (chance.happens(0.25)) step.priority = chance.between(-3, 3);
  if (chance.happens(0.07)) {
    step.approval = true;
    if (chance.happens(0.5)) step.deadline = randomDeadline(chance);
  }
  // An item has its say at its end only.
  if (step.ask === undefined && chance.happens(0.12)) fanOut(chance, step);
  else if (script.act === "midway") outputs.push(midwayKey(id));
  if (chance.happens(0.08)) repeat(chance, step);
  if (chance.happens(0.2)) step.compensate = randomCompensation(chance, outputKey(id));
  return step;
}

function randomTimeouts(chance: Chance): NonNullable<WorkflowStepDocument["timeouts"]> {
  const limits = {
    queue: chance.pick(["2s", "20s"]),
    run: chance.pick(["1s", "15s"]),
    heartbeat: chance.pick(["3s", "12s"]),
    step: chance.pick(["5s", "40s"]),
  };
  const chosen = chance.some(Object.keys(limits), 0.4);
  return Object.fromEntries(Object.entries(limits).filter(([name]) => chosen.includes(name)));
}

function randomCompensation(chance: Chance, key: string): NonNullable<WorkflowStepDocument["compensate"]> {
  if (chance.happens(0.5)) return "undo";
  return { agent: chance.pick(ROLES), task: "undo", inputs: { gave: `\${self.outputs.${key}}` } };
}

/** It is a run of its own, whose last step gives what this one gives. */
function nestedStep(chance: Chance, id: string, traits: WorkflowTraits, depth: number): WorkflowStepDocument {
  const isEndless = chance.happens(0.15);
  const inner = isEndless ? ENDLESS_WORKFLOW : randomWorkflow(chance, NESTED_STEPS, traits, depth + 1);
  const workflow = { ...inner, outputs: { [outputKey(id)]: `\${env.${givenKey(inner.steps.at(-1))}}` } };
  const list = Array.from({ length: chance.between(0, 3) }, () => chance.between(1, 99));
  return nestingStep(chance, id, { workflow, environment: { e0: 1, list } }, outputKey(id), isEndless);
}

/** It is a run of its own that has to be planned; undefined: somebody else gives all that one could be asked for. */
function plannedStep(
  chance: Chance,
  id: string,
  wish: (chance: Chance) => Wish,
  before: readonly WorkflowStepDocument[],
): WorkflowStepDocument | undefined {
  const asked = wish(chance);
  const { byName, inWords } = askedBy(asked);
  const taken = before.map(givenKey);
  const key = [...inWords, ...byName].findLast((one) => !taken.includes(one));
  return key === undefined
    ? undefined
    : nestingStep(chance, id, { ...asked, environment: { e0: 1 } }, key, false);
}

function nestingStep(
  chance: Chance,
  id: string,
  inputs: Record<string, unknown>,
  key: string,
  isEndless: boolean,
): WorkflowStepDocument {
  return {
    id,
    agent: "orchestrator",
    task: "run",
    inputs,
    outputs: [key],
    ...(isEndless || chance.happens(0.2) ? { timeout: chance.pick(["4s", "12s"]) } : {}),
    ...(chance.happens(0.6) ? { retry: { maxAttempts: chance.between(1, 2), initial: "1s" } } : {}),
    ...(chance.happens(0.4) ? { onFailure: chance.pick(["continue", "recover", "fail"]) } : {}),
    ...(chance.happens(0.2)
      ? {
          compensate: {
            agent: chance.pick(ROLES),
            task: "undo",
            inputs: { gave: `\${self.outputs.${key}}` },
          },
        }
      : {}),
  };
}

/** The key that others may read of it. */
const givenKey = (step: WorkflowStepDocument | undefined): string => step?.outputs?.[0] ?? "e0";

/** A fan-out does, and a nested run whose last step does. */
function givesList(step: WorkflowStepDocument | undefined): boolean {
  const inner = step?.inputs?.workflow as WorkflowDocument | undefined;
  return step?.forEach !== undefined || (inner !== undefined && givesList(inner.steps.at(-1)));
}

/** Its own script says so, or that of the last step of the run below it. */
function givesBulk(step: WorkflowStepDocument | undefined): boolean {
  const { script, workflow } = (step?.inputs ?? {}) as { script?: Script; workflow?: WorkflowDocument };
  return script?.bulk !== undefined || (workflow !== undefined && givesBulk(workflow.steps.at(-1)));
}

/** Nobody of the swarm does it: a person or a signal does. */
function waitingStep(chance: Chance, id: string): WorkflowStepDocument {
  return {
    id,
    agent: chance.pick(["human", "signal"]),
    task: `ask-${id}`,
    inputs: {},
    outputs: [outputKey(id)],
    ...(chance.happens(0.4) ? { deadline: { ...randomDeadline(chance), value: 11 } } : {}),
    ...(chance.happens(0.3) ? { onFailure: "continue" } : {}),
  };
}

function randomDeadline(chance: Chance): NonNullable<WorkflowStepDocument["deadline"]> {
  return { after: chance.pick(["2s", "15s"]), answer: chance.pick(["approve", "approve", "reject"]) };
}

/** What people are asked once nothing else is left; nobody may try without end. */
function randomAsk(chance: Chance): NonNullable<WorkflowStepDocument["ask"]> {
  const after = chance.pick(["3s", "20s"]);
  const answer = chance.pick(["approve", "reject", undefined] as const);
  if (answer === undefined) return { after };
  return { after, answer, ...(answer === "approve" ? { value: 13 } : {}) };
}

function fanOut(chance: Chance, step: WorkflowStepDocument): void {
  const inputs = step.inputs as { script: Script };
  if (inputs.script.act === "midway") inputs.script.act = "work";
  step.forEach = chance.happens(0.5)
    ? "env.list"
    : Array.from({ length: chance.between(0, 4) }, () => chance.between(1, 99));
  Object.assign(inputs, { item: "${item}", place: "${index}" });
}

/** Sometimes more often than it may. */
function repeat(chance: Chance, step: WorkflowStepDocument): void {
  step.repeat = { until: `iteration >= ${chance.between(1, 4)}`, max: chance.pick([2, 4, 4, 9]) };
  Object.assign(step.inputs as object, { round: "${iteration}" });
}

export function randomBudget(chance: Chance, steps: number): NonNullable<WorkflowDocument["budget"]> {
  const limits = {
    dispatches: chance.between(1, 2 * steps),
    tokens: chance.between(1, 100 * steps),
    usd: chance.between(1, 2 * steps),
    wall: `${chance.between(1, 60)}s`,
  };
  const names = Object.keys(limits) as (keyof typeof limits)[];
  const chosen = new Set([chance.pick(names), ...chance.some(names, 0.3)]);
  const kept = Object.fromEntries(Object.entries(limits).filter(([name]) => chosen.has(name as "wall")));
  return { ...kept, onLimit: chance.pick(["pause", "pause", "fail"]) };
}

function randomScript(chance: Chance): Script {
  const act = chance.pick<Script["act"]>([
    ...Array<Script["act"]>(12).fill("work"),
    "flaky",
    "flaky",
    "flaky",
    "midway",
    "midway",
    "pass",
    "pass",
    "refuse",
    "hang",
    "poison",
    chance.pick(["nonsense", "lacking"]),
  ]);
  const long = chance.happens(0.1);
  const until = {
    pass: chance.happens(0.1) ? 9 : chance.between(1, 3),
    poison: chance.happens(0.3) ? 99 : 1,
  };
  return {
    act,
    ms: chance.happens(0.3) ? 0 : chance.between(1, long ? 20_000 : 1_500),
    until: act === "pass" || act === "poison" ? until[act] : chance.between(1, 3),
    heeds: chance.happens(0.7),
  };
}
