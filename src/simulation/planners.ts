/**
 * Who proposes plans in a simulated swarm: an agent of the role `planner`, and a language model. Mostly they know
 * what they say; else they are wrong in one of many ways, late, silent, or die over it.
 *
 * What they know is what they are asked with, and what its words mean.
 */
import type { AgentDefinition, TaskContext } from "../agent/define.ts";
import type { Clock } from "../bus/bus.ts";
import type { Advisor } from "../planner/counsel.ts";
import type { ModelAnswer, ModelRequest } from "../planner/plan-model.ts";
import type { PlannerQuestion, PlannerTask, PlanSituation } from "../workflow/planner-task.ts";
import type { Chance } from "./chance.ts";
import { pause } from "./crew.ts";
import { askedBy } from "./goals.ts";
import type { CrewScene } from "./scenario.ts";
import type { Party } from "./world.ts";

export const PLANNER_ROLE = "planner";
/** Longer than an answer is waited for. */
const TOO_LATE_MS = [11_000, 40_000] as const;
/** Questions over which its process dies, of one run. */
const DEATHS = 2;

/** What both are asked, in one shape. */
interface Question {
  readonly goals: readonly string[];
  readonly want: readonly string[];
  readonly roles: readonly { role: string; tasks: readonly Offer[] }[];
  /** Keys that have a value, or will. */
  readonly there: readonly string[];
  readonly situation: PlanSituation | undefined;
}

interface Offer {
  readonly name: string;
  readonly needs: readonly string[];
  readonly gives: readonly string[];
}

interface DraftStep {
  id: string;
  agent: string;
  task: string;
  dependsOn?: string[];
  outputs?: string[];
  inputs?: Record<string, string>;
}

/** The planner of one seed. */
export interface Planner {
  /** Those that it has. */
  tasks: readonly PlannerTask[];
  /** It never answers. */
  isMute: boolean;
  chance: Chance;
}

export function plannerAgent(
  party: Party,
  scene: CrewScene,
  { tasks, isMute, chance }: Planner,
): AgentDefinition {
  const run = async (inputs: unknown, ctx: TaskContext) => {
    const { goals, want, roles, environment, large, situation } = inputs as PlannerQuestion;
    const values = Object.entries(environment).filter(([, value]) => value !== null);
    const there = [...values.map(([key]) => key), ...large, ...comingIn(situation)];
    const anyhow = chance.pick([
      ...Array<"say">(12).fill("say"),
      "late",
      "die",
      "fail",
      "hang",
      "pass",
    ] as const);
    const how = isMute ? "hang" : anyhow;
    ctx.usage({ tokens: 20 });
    await pause(party, ctx, how === "late" ? chance.between(...TOO_LATE_MS) : chance.between(0, 3_000), true);
    if (how === "die" && scene.kills(ctx) < DEATHS) {
      scene.kill(party, ctx);
      return new Promise<never>(() => undefined);
    }
    if (how === "fail") throw new Error("no idea");
    if (how === "hang") await pause(party, ctx, 120_000, chance.happens(0.5));
    if (how === "pass") return ctx.handoff("red", "work", {}, "somebody else may know");
    return { ...proposal(chance, { goals, want, roles, there, situation }) };
  };
  return { role: PLANNER_ROLE, tasks: Object.fromEntries(tasks.map((name) => [name, { run }])) };
}

/** A language model at the other end of a line that is slow now and then. */
export function languageModel(clock: Clock, chance: Chance): Advisor {
  const propose = (request: ModelRequest): Promise<ModelAnswer> => {
    const { goals, want, roles, environment, situation, timeoutMs } = request;
    const known = Object.entries(environment.keys).filter(([, { type }]) => type !== "nothing");
    const there = [...known.map(([key]) => key), ...comingIn(situation)];
    const takesMs = chance.happens(0.1) ? 30_000 : chance.between(100, 4_000);
    const said = JSON.stringify(proposal(chance, { goals, want, roles, there, situation }));
    const text = chance.pick([said, `Sure!\n\`\`\`json\n${said}\n\`\`\``, said.slice(0, -1)]);
    const usage = { tokens: 30 };
    const answer: ModelAnswer =
      takesMs > timeoutMs ? { failure: "it took too long", usage } : { text, usage };
    return new Promise((resolve) => {
      clock.setTimeout(() => resolve(answer), Math.min(takesMs, timeoutMs));
    });
  };
  return { model: { name: "the oracle", propose }, timeoutMs: 10_000, now: () => clock.monotonic() };
}

function comingIn(situation: PlanSituation | undefined): string[] {
  return (situation?.steps ?? []).flatMap(({ state, outputs }) => (state === "running" ? outputs : []));
}

function proposal(chance: Chance, question: Question): object {
  const { goals, situation, roles } = question;
  const asked = askedBy({ goals: [...goals], want: [...question.want] });
  const want = [...new Set([...asked.byName, ...asked.inWords])];
  if (chance.happens(0.25)) return wrongProposal(chance, want, roles);
  if (situation !== undefined && chance.happens(0.3)) return { stands: true };
  const named = want.length > 0 ? { want } : {};
  if (chance.happens(0.2)) return named;
  const offers = offersIn(question, new Set(asked.ruledOut));
  if (chance.happens(0.3)) {
    const avoid = chance.some(offers, 0.2).map(({ role, name }) => ({ role, task: name }));
    return { ...named, avoid };
  }
  const steps = draft(chance, offers, want, new Set(question.there));
  return steps.length === 0 ? named : { ...named, workflow: { steps }, reason: "so it seems" };
}

type Offered = Offer & { role: string };

function offersIn({ roles, situation }: Question, ruledOut: ReadonlySet<string>): Offered[] {
  const banned = new Set(
    (situation?.excluded ?? []).map(({ role, task }) => (task === undefined ? role : `${role}.${task}`)),
  );
  return roles
    .flatMap(({ role, tasks }) => tasks.map((task) => ({ ...task, role })))
    .filter(({ role, name, gives }) => {
      const isBanned = banned.has(role) || banned.has(`${role}.${name}`);
      return gives.length > 0 && !isBanned && !gives.some((key) => ruledOut.has(key));
    });
}

/** For every key anybody who gives it, whatever that costs. */
function draft(
  chance: Chance,
  offers: readonly Offered[],
  want: readonly string[],
  there: ReadonlySet<string>,
): DraftStep[] {
  const steps: DraftStep[] = [];
  const makers = new Map<string, string>();
  const make = (key: string): void => {
    const ways = offers.filter(({ gives }) => gives.includes(key) && !gives.some((one) => makers.has(one)));
    if (there.has(key) || makers.has(key) || ways.length === 0) return;
    const { role, name, needs, gives } = chance.pick(ways);
    const id = `x${makers.size}`;
    for (const one of gives) makers.set(one, id);
    for (const need of needs) make(need);
    const dependsOn = [...new Set(needs.flatMap((need) => makers.get(need) ?? []))].filter(
      (one) => one !== id,
    );
    const inputs = Object.fromEntries(needs.map((need) => [need, `\${env.${need}}`]));
    steps.push({
      id,
      agent: role,
      task: name,
      ...(dependsOn.length > 0 ? { dependsOn } : {}),
      ...(chance.happens(0.5) ? { outputs: [...gives] } : {}),
      ...(chance.happens(0.5) ? { inputs } : {}),
    });
  };
  for (const key of want) make(key);
  return steps;
}

/** Names what is not there, leaves out what was asked for, writes steps of its own, or is no proposal at all. */
function wrongProposal(chance: Chance, want: readonly string[], roles: Question["roles"]): object {
  const { role = "red", tasks = [] } = roles.length > 0 ? chance.pick(roles) : {};
  const { name = "work", gives = [] } = tasks.length > 0 ? chance.pick(tasks) : {};
  const step = { id: "x0", agent: role, task: name };
  return chance.pick([
    { want: ["nowhere"] },
    { want: gives.length > 0 ? [gives[0]] : ["e0"] },
    { want, workflow: { steps: [{ id: "x0", agent: "nobody", task: "magic" }] } },
    { want, workflow: { steps: [{ ...step, when: "1 > 0" }] } },
    { want, workflow: { steps: [{ ...step, inputs: { e0: "${env.e0 + 1.0}" } }] } },
    {
      want,
      workflow: {
        steps: [
          { ...step, dependsOn: ["x1"] },
          { ...step, id: "x1", dependsOn: ["x0"] },
        ],
      },
    },
    { want, workflow: { steps: [step] } },
    { avoid: [{ role: "nobody", task: "magic" }] },
    { stands: true },
    { want: want.join(" ") },
    { answer: 42 },
    {},
  ]);
}
