/**
 * Random capabilities: what the roles of a simulated swarm can do for runs that are planned from what is wanted,
 * so that plans have other ways, guards, facts that change them, and steps that fail.
 *
 * What a task gives is a function of its name and its inputs, as in random workflows.
 */
import type { TaskDefinition } from "../agent/define.ts";
import type { Chance } from "./chance.ts";
import { type Asked, wordFor } from "./goals.ts";
import type { Reference } from "./reference.ts";
import type { ReferenceStep } from "./reference-step.ts";
import type { Say } from "./scenario.ts";
import { ROLES, type Script } from "./workflows.ts";

export interface Skill {
  name: string;
  role: string;
  card: Pick<TaskDefinition, "needs" | "gives" | "when" | "cost" | "observes" | "fallback" | "synonyms">;
  script: Script;
}

/** Keys that planned runs are about, each made from some before it. */
const MOST_KEYS = 6;
const SKILL = "make-";
/** Whether a task is one of those that plans are made of. */
export const isSkill = (task: string): boolean => task.startsWith(SKILL);
const keyAt = (place: number): string => `p${place}`;
export const PLANNED_KEYS = Array.from({ length: MOST_KEYS }, (_, at) => keyAt(at));

/** Each key can be made in one to three ways; the first of them can be relied on, more or less. */
export function randomSkills(chance: Chance): Skill[] {
  const skills: Skill[] = [];
  for (let place = 0, keys = chance.between(2, MOST_KEYS); place < keys; place++) {
    for (let way = 0, ways = chance.between(1, 3); way < ways; way++) {
      skills.push(randomSkill(chance, place, way));
    }
  }
  return skills;
}

function randomSkill(chance: Chance, place: number, way: number): Skill {
  const before = ["e0", ...PLANNED_KEYS.slice(0, place)];
  const isSure = way === 0;
  const needs = chance.some(before, isSure ? 0.4 : 0.5);
  const key = keyAt(place);
  const act = chance.pick<Script["act"]>(
    isSure ? ["work", "work", "work", "flaky"] : ["work", "work", "flaky", "refuse", "lacking", "midway"],
  );
  return {
    name: `${SKILL}${key}-${way}`,
    role: chance.pick(ROLES),
    card: {
      needs,
      gives: [key],
      synonyms: [wordFor(key)],
      cost: isSure ? chance.between(3, 12) : chance.between(1, 9),
      ...(!isSure && chance.happens(0.4) ? { when: randomGuard(chance, before) } : {}),
      ...(chance.happens(0.3) ? { observes: [key] } : {}),
      ...(chance.happens(0.1) ? { fallback: { [key]: 7 } } : {}),
    },
    script: { act, ms: chance.between(0, 2_500), until: chance.between(1, 3), heeds: chance.happens(0.7) },
  };
}

function randomGuard(chance: Chance, before: readonly string[]): string {
  const key = chance.pick(before);
  return `env.${key} != null && env.${key} > ${chance.between(0, 900)}.0`;
}

/** What they can make, each from some before it. */
export const keysOf = (skills: readonly Skill[]): string[] => [
  ...new Set(skills.flatMap(({ card }) => card.gives ?? [])),
];

export function randomWants(chance: Chance, skills: readonly Skill[]): string[] {
  const keys = keysOf(skills);
  return [...new Set([keys.at(-1) as string, ...chance.some(keys.slice(1), 0.2)])];
}

/** What a task of this name makes of its inputs. */
export function productOfSkill(name: string, inputs: Readonly<Record<string, unknown>>): number {
  let sum = name.charCodeAt(name.length - 1);
  for (const key of Object.keys(inputs).sort()) {
    const value = inputs[key];
    sum = (sum * 31 + key.charCodeAt(key.length - 1) + (typeof value === "number" ? value : 17)) % 997;
  }
  return sum;
}

/** What came of plans: each step gave what its task makes of its inputs, and what was asked for is there. */
export function judgePlanned(run: string, reference: Reference, asked: Asked, say: Say): void {
  for (const step of reference.steps.values()) {
    const due = dueOf(step);
    const [key = ""] = step.doc.outputs ?? [];
    if (due === undefined || step.outputs === undefined || step.outputs?.[key] === due) continue;
    say(
      "the environment is that of a serial run",
      `${run} ${step.id} gave ${step.outputs?.[key]}, not ${due}`,
    );
  }
  if (reference.status !== "done") return;
  // The last of what was said in words and heard: what comes before it may be on the way there, and not wanted.
  const planned = reference.plans[0]?.workflow.steps.flatMap(({ outputs = [] }) => outputs);
  const heard = asked.byName.length > 0 ? [] : asked.inWords.filter((key) => planned?.includes(key));
  for (const key of [...asked.byName, ...heard.slice(-1)])
    if (!reference.env.has(key)) say("a finished plan gives what was wanted", `${run} has no ${key}`);
}

/** Undefined where others have done it, or a fallback stands in. */
function dueOf({ outcome, n, task, brought, own, givenByPeople }: ReferenceStep): number | undefined {
  return isSkill(task) && outcome === "completed" && n > 0 && !givenByPeople
    ? productOfSkill(task, brought ?? own)
    : undefined;
}
