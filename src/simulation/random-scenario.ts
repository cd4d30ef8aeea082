/** A random swarm with random runs: what `npm run sim` lives through. */
import { pino } from "pino";
import type { ShareWindow } from "../actors/role-shares.ts";
import { SwarmPlanning } from "../actors/swarm-planning.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import { Chance } from "./chance.ts";
import { scriptedAgent } from "./crew.ts";
import { FEW_FORMS } from "./language.ts";
import type { Scenario, ScenarioRun, Seat } from "./scenario.ts";
import { judgeScripts } from "./script-judge.ts";
import { ENDLESS, MAX_STEPS, ROLES, randomWorkflow, SPARE_ROLE } from "./workflows.ts";

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
  for (let at = 1; at <= count; at++) {
    const workflow = randomWorkflow(new Chance(seed, `workflow ${at}`), maxSteps);
    const list = Array.from({ length: chance.between(0, 5) }, () => chance.between(1, 99));
    runs.set(`r${at}`, { workflow, inputs: {}, environment: { e0: chance.between(0, 500), list } });
  }
  return {
    runs,
    seats: randomSeats(new Chance(seed, "seats")),
    agent: scriptedAgent,
    planning: (bus, clock) => new SwarmPlanning(bus, clock, silent),
    attend(people) {
      for (const [run, submission] of runs) {
        people.submit(run, submission, people.chance.between(0, 2_000));
        people.answerFor(run);
        people.meddleWith(run, { repeats: true });
      }
    },
    attendLater(people, run, { workflow, parent }) {
      if ((workflow as WorkflowDocument).name === ENDLESS) return;
      people.answerFor(run);
      if (parent === undefined || people.chance.happens(0.3)) people.meddleWith(run, { repeats: true });
    },
    ...(chance.happens(0.5) ? { window: randomWindow(chance) } : {}),
    curses: true,
    language: FEW_FORMS,
    judge: judgeScripts,
  };
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
