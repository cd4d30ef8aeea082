/**
 * Runs to be photographed: a workflow of sixty steps with a failure, a retry, a handoff and an approval, and
 * one of five thousand. The same each time: what looks random comes from a seed.
 */
import { setTimeout as wait } from "node:timers/promises";
import { defineAgent } from "../src/agent/define-agent.ts";
import { NonRetryableError } from "../src/workflow/errors.ts";

interface Told {
  ms?: number;
  give?: Record<string, unknown>;
  once?: boolean;
  never?: boolean;
  pass?: boolean;
  talk?: boolean;
}

interface Step {
  id: string;
  agent: string;
  task: string;
  dependsOn: string[];
  inputs: Told;
  [more: string]: unknown;
}

const SOURCES = ["orders", "returns", "stock", "prices", "people", "visits", "ads", "mail"];

export function weeklyReport(): Record<string, unknown> {
  const chance = seeded(7);
  const steps: Step[] = [];
  const add = (
    id: string,
    agent: string,
    task: string,
    dependsOn: string[],
    inputs: Told,
    more: object = {},
  ) => steps.push({ id, agent, task, dependsOn, inputs, ...more });
  add("list", "reader", "list", [], { ms: 300, give: { sources: SOURCES } }, { outputs: ["sources"] });
  add("rare", "checker", "check", ["list"], { ms: 260, never: true }, { onFailure: "continue" });
  for (const source of SOURCES) {
    const give = { [source]: { rows: Math.round(chance() * 9_000), from: `s3://sales/${source}.csv` } };
    const retry = { initial: "300ms" };
    add(
      `load-${source}`,
      "reader",
      "load",
      ["list"],
      { ms: 200 + chance() * 900, once: source === "stock", give },
      { outputs: [source], retry },
    );
    add(`clean-${source}`, "mender", "clean", [`load-${source}`], { ms: 150 + chance() * 700 });
    add(`check-${source}`, "mender", "match", [`load-${source}`], {
      ms: 100 + chance() * 300,
      pass: source === "ads",
    });
    add(`rank-${source}`, "thinker", "rank", [`clean-${source}`, `check-${source}`], {
      ms: 200 + chance() * 800,
    });
    add(`find-${source}`, "thinker", "find", [`clean-${source}`], {
      ms: 400 + chance() * 1_200,
      talk: source === "visits",
    });
  }
  for (const [at, source] of SOURCES.entries()) {
    const next = SOURCES[(at + 1) % SOURCES.length] ?? source;
    add(`pair-${source}`, "mender", "match", [`rank-${source}`, `rank-${next}`], {
      ms: 200 + chance() * 500,
    });
  }
  for (let at = 0; at < 4; at++) {
    const pairs = SOURCES.slice(2 * at, 2 * at + 2).map((source) => `pair-${source}`);
    add(`topic-${at + 1}`, "thinker", "find", [...pairs, `find-${SOURCES[at]}`], {
      ms: 400 + chance() * 900,
    });
    add(`draft-${at + 1}`, "writer", "write", [`topic-${at + 1}`], { ms: 300 + chance() * 400 });
  }
  const drafts = steps.map(({ id }) => id).filter((id) => /^(draft|find|rare)/.test(id));
  add("layout", "writer", "set", drafts, { ms: 300 });
  add(
    "publish",
    "writer",
    "write",
    ["layout"],
    { ms: 400, give: { report: { title: "What sold, and why", pages: 12 } } },
    { outputs: ["report"], approval: true },
  );
  return { name: "weekly-report", maxParallel: 12, steps };
}

export function nightlyIndex(): Record<string, unknown> {
  const chance = seeded(11);
  const roles = [
    ["reader", "load"],
    ["mender", "clean"],
    ["thinker", "find"],
  ] as const;
  const steps: Step[] = [{ id: "start", agent: "reader", task: "list", dependsOn: [], inputs: {} }];
  let before = ["start"];
  for (let layer = 0; steps.length < 4_999; layer++) {
    const [agent, task] = roles[layer % 3] ?? roles[0];
    const now: string[] = [];
    for (let place = 0; place < 60 && steps.length < 4_999; place++) {
      const near = Math.min(before.length - 1, Math.max(0, Math.floor(place + (chance() - 0.5) * 6)));
      const dependsOn = [
        ...new Set([before[Math.min(before.length - 1, place)] ?? "start", before[near] ?? "start"]),
      ];
      const inputs = { never: chance() < 0.003 };
      steps.push({ id: `n${layer}-${place}`, agent, task, dependsOn, inputs, onFailure: "continue" });
      now.push(`n${layer}-${place}`);
    }
    before = now;
  }
  steps.push({ id: "end", agent: "writer", task: "write", dependsOn: before, inputs: {} });
  return { name: "nightly-index", maxParallel: 128, steps };
}

/** Agents that take as long as they are told, and fail, pass on and talk as they are told. */
export function pictureAgents(): ReturnType<typeof defineAgent>[] {
  const failedOnce = new Set<string>();
  const task = {
    run: async (told: Told, ctx: Parameters<ReturnType<typeof defineAgent>["tasks"][string]["run"]>[1]) => {
      for (let part = 1; part <= (told.talk ? 20 : 1); part++) {
        if (told.ms !== undefined) await wait(told.ms / (told.talk ? 20 : 1));
        if (told.talk) ctx.progress(part / 20, `part ${part} of 20`);
        if (told.talk) ctx.emit(`looked at ${part * 250} rows\n`);
      }
      const name = `${ctx.run} ${ctx.step}`;
      if (told.once && !failedOnce.has(name)) {
        failedOnce.add(name);
        throw new Error("the source was busy");
      }
      if (told.never) throw new NonRetryableError("row 17 has no id");
      if (told.pass) return ctx.handoff("checker", "check", { ms: told.ms }, "needs a second pair of eyes");
      ctx.usage({ tokens: 480, usd: 0.002 });
      return told.give ?? {};
    },
  };
  const roles: Record<string, string[]> = {
    reader: ["list", "load"],
    mender: ["clean", "match"],
    thinker: ["rank", "find"],
    checker: ["check"],
    writer: ["write", "set"],
  };
  return Object.entries(roles).map(([role, tasks]) =>
    defineAgent({ role, tasks: Object.fromEntries(tasks.map((name) => [name, task])) }),
  );
}

/** Numbers in [0, 1) that are the same each time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
}
