/** The agents of random workflows: their tasks do what the script in their inputs says. */
import type { AgentDefinition, Handoff, TaskContext } from "../agent/define.ts";
import type { CrewScene } from "./scenario.ts";
import { productOfSkill, type Skill } from "./skills.ts";
import {
  ALL_KEYS,
  FLAKY_ERROR,
  givenBy,
  midwayKey,
  outputKey,
  productOf,
  ROLES,
  type Script,
  SECRET_KEY,
  SPARE_ROLE,
} from "./workflows.ts";
import type { Party } from "./world.ts";

/** Longer than every time-out of a simulated step. */
const HANG_MS = 120_000;

/** What the agents of a seed can do besides what a step's script says. */
export interface Craft {
  skills: readonly Skill[];
  /** Whether the spare role needs two tasks for what it can do instead of one. */
  spareInTwo: boolean;
}

export function scriptedAgent(role: string, party: Party, scene: CrewScene, craft: Craft): AgentDefinition {
  if (role === SPARE_ROLE) return craft.spareInTwo ? spareInTwo(party) : spare(party);
  const skilled = craft.skills
    .filter((skill) => skill.role === role)
    .map(({ name, card, script }) => {
      const run = (inputs: Record<string, unknown>, ctx: TaskContext) =>
        act(script, resultOfSkill(name, card, inputs), inputs, ctx, role, party, scene);
      return [name, { ...card, run }] as const;
    });
  return {
    role,
    tasks: {
      work: { run: (inputs, ctx) => work(inputs, ctx, role, party, scene) },
      undo: { run: (inputs, ctx) => undo(inputs, ctx, party) },
      ...Object.fromEntries(skilled),
    },
  };
}

/** What the tasks of a seed say that they can do, by `role.task`. */
export function cardsOf({ skills, spareInTwo }: Craft): ReadonlyMap<string, Skill["card"]> {
  const tools = ["tools"];
  return new Map<string, Skill["card"]>([
    ...skills.map(({ role, name, card }) => [`${role}.${name}`, card] as const),
    [`${SPARE_ROLE}.rescue`, { gives: ALL_KEYS, ...(spareInTwo ? { needs: tools } : {}) }],
    ...(spareInTwo ? [[`${SPARE_ROLE}.prepare`, { gives: tools }] as const] : []),
  ]);
}

function resultOfSkill(
  name: string,
  { gives = [] }: Skill["card"],
  inputs: Record<string, unknown>,
): Product {
  const value = productOfSkill(name, inputs);
  const [key = ""] = gives;
  return { outputs: { [key]: value }, midway: { key, value } };
}

/** Fails at its first attempt, or for good, by what it has to undo. */
async function undo(inputs: Record<string, unknown>, ctx: TaskContext, party: Party): Promise<object> {
  const sum = productOf("s0", inputs);
  await pause(party, ctx, sum, true);
  if (sum % 5 === 0) throw Object.assign(new Error("cannot be undone"), { name: "NonRetryableError" });
  if (sum % 3 === 0 && ctx.attempt === 1) throw new Error("not yet");
  return {};
}

function spare(party: Party): AgentDefinition {
  return {
    role: SPARE_ROLE,
    tasks: {
      rescue: {
        gives: ALL_KEYS,
        run: async (_, ctx) => {
          await pause(party, ctx, 200, true);
          return Object.fromEntries(ALL_KEYS.map((key) => [key, 1_000]));
        },
      },
    },
  };
}

/** Gives what the spare role gives, for something that has to be made first. */
function spareInTwo(party: Party): AgentDefinition {
  const { run } = spare(party).tasks.rescue as AgentDefinition["tasks"][string];
  const tools = async (_: unknown, ctx: TaskContext) => {
    await pause(party, ctx, 100, true);
    return { tools: 1 };
  };
  return {
    role: SPARE_ROLE,
    tasks: {
      prepare: { gives: ["tools"], run: tools },
      rescue: { needs: ["tools"], gives: ALL_KEYS, run },
    },
  };
}

function work(
  inputs: Record<string, unknown>,
  ctx: TaskContext,
  role: string,
  party: Party,
  scene: CrewScene,
): Promise<Record<string, unknown> | Handoff> {
  const product = {
    outputs: { [outputKey(ctx.step)]: givenBy(ctx.step, inputs), extra: `${ctx.n} ${inputs[SECRET_KEY]}` },
    midway: { key: midwayKey(ctx.step), value: givenBy(ctx.step, { ...inputs, midway: 1 }) },
  };
  return act(inputs.script as Script, product, inputs, ctx, role, party, scene);
}

/** What a task gives in the end, and what it may set on the way. */
interface Product {
  outputs: Record<string, unknown>;
  midway: { key: string; value: unknown };
}

async function act(
  script: Script,
  { outputs, midway }: Product,
  inputs: Record<string, unknown>,
  ctx: TaskContext,
  role: string,
  party: Party,
  scene: CrewScene,
): Promise<Record<string, unknown> | Handoff> {
  ctx.progress(0.5);
  // Whoever has a secret says it wherever something can be said.
  const secret = inputs[SECRET_KEY] === undefined ? "" : ` with ${inputs[SECRET_KEY]}`;
  ctx.usage({ tokens: 40, usd: 0.5 });
  // It ends some day: a host does not bear any number of tasks that ignore their signal, and a request to
  // cancel one that heeds it can be lost.
  if (script.act === "hang" && ctx.attempt <= script.until) await pause(party, ctx, HANG_MS, script.heeds);
  await pause(party, ctx, script.ms, script.heeds);
  switch (script.act) {
    case "flaky":
      if (ctx.attempt <= script.until)
        throw Object.assign(new Error(`not this time${secret}`), { name: FLAKY_ERROR });
      return outputs;
    case "refuse":
      throw Object.assign(new Error(`never${secret}`), { name: "NonRetryableError" });
    case "pass": {
      if (script.until === 0) return outputs;
      const next = ROLES[(ROLES.indexOf(role as (typeof ROLES)[number]) + 1) % ROLES.length] as string;
      return ctx.handoff(
        next,
        "work",
        { ...inputs, script: { ...script, until: script.until - 1 } },
        `not mine${secret}`,
      );
    }
    case "midway": {
      await ctx.env.set(midway.key, midway.value, script.heeds ? {} : { ifRevision: 0 });
      return outputs;
    }
    case "poison":
      if (scene.kills(ctx) < script.until) {
        scene.kill(party, ctx);
        return new Promise<never>(() => undefined);
      }
      return outputs;
    case "nonsense":
      return [] as unknown as Record<string, unknown>;
    case "lacking":
      return { extra: 1 };
    default:
      return outputs;
  }
}

/** Goes on after a while, or ends when the task's signal fires and it heeds that. */
export function pause(party: Party, ctx: TaskContext, ms: number, heeds: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = party.clock.setTimeout(resolve, ms);
    if (!heeds) return;
    const stop = (): void => {
      party.clock.clearTimeout(timer);
      reject(ctx.signal.reason as Error);
    };
    if (ctx.signal.aborted) stop();
    else ctx.signal.addEventListener("abort", stop, { once: true });
  });
}
