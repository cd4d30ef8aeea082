/** A random swarm with random runs: what `npm run sim` lives through. */
import { pino } from "pino";
import type { ShareWindow } from "../actors/role-shares.ts";
import { SwarmPlanning } from "../actors/swarm-planning.ts";
import type { SubmitMessage } from "../bus/messages.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import { Chance } from "./chance.ts";
import { type Craft, cardsOf, scriptedAgent } from "./crew.ts";
import { askedBy, randomGoals, type Wish } from "./goals.ts";
import { KeptValues } from "./kept-values.ts";
import { fewForms } from "./language.ts";
import type { Meddling } from "./people.ts";
import { judgePlans } from "./plan-judge.ts";
import { languageModel, PLANNER_ROLE, type Planner, plannerAgent } from "./planners.ts";
import type { Scenario, ScenarioRun, Seat } from "./scenario.ts";
import { judgeScripts } from "./script-judge.ts";
import { judgePlanned, keysOf, PLANNED_KEYS, randomSkills, randomWants, type Skill } from "./skills.ts";
import {
  BULKY_FROM_BYTES,
  ENDLESS,
  MAX_STEPS,
  ROLES,
  randomBudget,
  randomBulky,
  randomSecret,
  randomWorkflow,
  SECRET_KEY,
  SPARE_ROLE,
  withSecret,
} from "./workflows.ts";

/** Share of the seeds in which some values go by claim check. */
const BULKY_SEEDS = 0.2;
/** Share of the written workflows that name a secret. */
const SECRET_RUNS = 0.1;
const PLANNERS_SEAT: Seat = { roles: [PLANNER_ROLE], concurrency: 2 };
const PLANNER_TASKS = ["plan", "replan", "recover"] as const;
const silent = pino({ level: "silent" });

export interface RandomScenarioOptions {
  maxSteps?: number;
  maxRuns?: number;
}

export function randomScenario(seed: number, options: RandomScenarioOptions = {}): Scenario {
  const { maxSteps = MAX_STEPS, maxRuns = 4 } = options;
  const chance = new Chance(seed, "workflows");
  const runs = new Map<string, ScenarioRun>();
  const count = Math.min(chance.happens(0.35) ? chance.between(2, 4) : 1, maxRuns);
  const craft = randomCraft(new Chance(seed, "craft"));
  const bulk = new Chance(seed, "bulk").happens(BULKY_SEEDS);
  const kept = new KeptValues(bulk ? BULKY_FROM_BYTES : undefined);
  const wish = craft.skills.length > 0 ? (of: Chance) => randomWish(of, craft.skills) : undefined;
  for (let at = 1; at <= count; at++) {
    const plans = new Chance(seed, `plan ${at}`);
    if (craft.skills.length > 0 && plans.happens(0.6)) {
      const asked = randomWish(plans, craft.skills);
      const budget = plans.happens(0.15) ? { budget: randomBudget(plans, 5) } : {};
      const ask = plans.happens(0.3) ? { ask: plans.pick(["3s", "20s"]) } : {};
      runs.set(`r${at}`, {
        ...asked,
        inputs: {},
        environment: { e0: plans.between(0, 500) },
        ...budget,
        ...ask,
      });
      continue;
    }
    const plain = randomWorkflow(new Chance(seed, `workflow ${at}`), maxSteps, { bulk, wish });
    const secrets = new Chance(seed, `secret ${at}`);
    const isSecret = secrets.happens(SECRET_RUNS);
    const secret = isSecret ? { [SECRET_KEY]: randomSecret(secrets) } : {};
    const workflow = isSecret ? withSecret(secrets, plain) : plain;
    const numbers = Array.from({ length: chance.between(0, 5) }, () => chance.between(1, 99));
    const bulks = new Chance(seed, `list ${at}`);
    const list = bulk && bulks.happens(0.5) ? numbers.map((n) => randomBulky(bulks, n)) : numbers;
    runs.set(`r${at}`, {
      workflow,
      inputs: {},
      environment: { e0: chance.between(0, 500), list, ...secret },
    });
  }
  const cards = cardsOf(craft);
  const model = new Chance(seed, "model");
  const plans = craft.skills.length > 0;
  const planner = randomPlanner(new Chance(seed, "planner"), plans ? 0.5 : 0.05);
  const hasModel = model.happens(plans ? 0.25 : 0.02);
  const meddling = (submission: Pick<SubmitMessage, "goals" | "want">): Meddling => ({
    repeats: true,
    ...(isPlanned(submission) ? { keys: [...PLANNED_KEYS, "note"] } : {}),
  });
  return {
    runs,
    seats: [...randomSeats(new Chance(seed, "seats")), ...(planner.tasks.length > 0 ? [PLANNERS_SEAT] : [])],
    agent: (role, party, scene) =>
      role === PLANNER_ROLE ? plannerAgent(party, scene, planner) : scriptedAgent(role, party, scene, craft),
    planning(bus, clock) {
      const advisor = hasModel ? languageModel(clock, model) : undefined;
      return new SwarmPlanning(bus, clock, silent, undefined, advisor);
    },
    attend(people) {
      for (const [run, submission] of runs) {
        people.submit(run, submission, people.chance.between(0, 2_000));
        people.answerFor(run);
        people.meddleWith(run, meddling(submission));
      }
    },
    attendLater(people, run, submission) {
      const { workflow, parent } = submission;
      if ((workflow as WorkflowDocument | undefined)?.name === ENDLESS) return;
      people.answerFor(run);
      if (parent === undefined || people.chance.happens(0.3)) people.meddleWith(run, meddling(submission));
    },
    ...(chance.happens(0.5) ? { window: randomWindow(chance) } : {}),
    curses: true,
    language: fewForms(kept),
    judge(run, reference, submission, say) {
      judgePlans(run, reference, submission, cards, say);
      judgePlanned(run, reference, askedBy(submission), say);
      if (!isPlanned(submission)) judgeScripts(run, reference, kept, say);
    },
  };
}

/** Steps of written workflows ask one, too, when they fail. It has no tasks where there is none. */
function randomPlanner(chance: Chance, probability: number): Planner {
  const tasks = chance.happens(probability) ? chance.some(PLANNER_TASKS, 0.8) : [];
  return { tasks, isMute: chance.happens(0.12), chance };
}

/** What is to be there in the end: by name, in words, or both. */
function randomWish(chance: Chance, skills: readonly Skill[]): Wish {
  const inWords = chance.happens(0.5);
  const byName = !inWords || chance.happens(0.15);
  return {
    ...(inWords ? { goals: randomGoals(chance, keysOf(skills)) } : {}),
    ...(byName ? { want: randomWants(chance, skills) } : {}),
  };
}

/** Also when its plan travels with it, because it repeats another run. */
const isPlanned = ({ goals, want }: Pick<SubmitMessage, "goals" | "want">): boolean =>
  (goals ?? want) !== undefined;

/** In some seeds the roles can do what runs can be planned with. */
function randomCraft(chance: Chance): Craft {
  if (!chance.happens(0.25)) return { skills: [], spareInTwo: false };
  return { skills: randomSkills(chance), spareInTwo: chance.happens(0.5) };
}

/** So small that runs have to take turns. */
function randomWindow(chance: Chance): ShareWindow {
  const least = chance.between(1, 2);
  return { first: chance.between(1, 3), least, most: least + chance.between(0, 3) };
}

/** One process can do everything; up to two more do some of it. */
function randomSeats(chance: Chance): Seat[] {
  const seats: Seat[] = [{ roles: [...ROLES, SPARE_ROLE], concurrency: chance.between(1, 6) }];
  for (let more = chance.between(0, 2); more > 0; more--) {
    const roles = chance.some(ROLES, 0.6);
    if (roles.length > 0) seats.push({ roles, concurrency: chance.between(1, 4) });
  }
  return seats;
}
