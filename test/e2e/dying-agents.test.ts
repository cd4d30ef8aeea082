/**
 * Every way that a step can go, with real agents that are killed in the middle of each.
 * Catches: a feature that works only while nobody dies (an item that is lost, an iteration or a hop that is done
 * twice, an undoing that is left out, a budget that a death overdraws).
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, expect, it } from "vitest";
import { Stage } from "./stage.ts";

const AGENT = resolve(import.meta.dirname, "mortal-agent.mjs");
const EVERYTHING = resolve(import.meta.dirname, "everything.yaml");
const TASKS = ["give", "grow", "list", "midway", "pass", "refuse", "square", "sum", "undo"];

const bookings = {
  steps: [
    ...["hotel", "flight"].map((id, at) => ({
      id,
      agent: "mortal",
      task: "give",
      inputs: { key: id, value: at },
      outputs: [id],
      dependsOn: at === 0 ? [] : ["hotel"],
      compensate: { task: "undo", inputs: { free: `\${self.outputs.${id}}` } },
    })),
    { id: "pay", agent: "mortal", task: "refuse", dependsOn: ["flight"] },
  ],
};
const squares = {
  maxParallel: 2,
  budget: { dispatches: 4 },
  steps: [
    {
      id: "square",
      agent: "mortal",
      task: "square",
      forEach: [1, 2, 3, 4, 5, 6],
      inputs: { item: "${item}" },
      outputs: ["square"],
    },
  ],
};

const ending: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0)) await end();
});

/** Agents of one task at a time, so that each dies for itself, brought back for as long as the stage stands. */
class Crew {
  #over = false;
  readonly #members: Promise<void>[];

  constructor(stage: Stage, size: number) {
    this.#members = Array.from({ length: size }, async () => {
      while (!this.#over) await stage.start(["agent", AGENT, "--concurrency", "1"]).exited;
    });
  }

  async end(stage: Stage): Promise<void> {
    this.#over = true;
    await stage.end();
    await Promise.all(this.#members);
  }
}

interface View {
  status: string;
  environment: object;
  outputs: object;
  error?: { code: string; step?: string };
  steps: Record<string, { state: string; outcome: string; failures?: object[] }>;
  compensations?: { step: string; outcome: string }[];
  spent: object;
}

const shown = async (stage: Stage, run: string) =>
  (await stage.run("show", run, "--json")).json() as unknown as View;

/** Says it until it is accepted: the step may not wait yet, or the run not be paused yet. */
async function accepted(stage: Stage, ...words: string[]): Promise<void> {
  const refusals = async () => {
    const { code, stderr } = await stage.run(...words);
    return code === 0 ? "" : stderr;
  };
  await expect.poll(refusals, { timeout: 60_000, interval: 1_000 }).toBe("");
}

/** What has to be the same, whoever died. */
async function ends(stage: Stage): Promise<object> {
  const result: Record<string, object> = {};
  for (const run of ["everything", "bookings", "squares"]) {
    await stage.run("watch", run);
    const { status, environment, outputs, error, steps, compensations, spent } = await shown(stage, run);
    const outcomes = Object.entries(steps).map(([id, { state, outcome }]) => [id, state, outcome]);
    const undone = compensations?.map(({ step, outcome }) => [step, outcome]);
    result[run] = { status, environment, outputs, code: error?.code, outcomes, undone, spent };
  }
  return result;
}

async function live(stage: Stage, inTheMiddle: () => Promise<void>): Promise<object> {
  expect((await stage.run("run", EVERYTHING, "--run", "everything", "--detach")).code).toBe(0);
  await stage.submit(bookings, "bookings");
  await stage.submit(squares, "squares");
  await inTheMiddle();
  await accepted(stage, "signal", "everything", "word", '"given"');
  await accepted(stage, "approve", "everything", "agreed");
  await accepted(stage, "resume", "squares", "--budget", "dispatches=20");
  return ends(stage);
}

async function newStage(size: number, env: Record<string, string> = {}) {
  const stage = new Stage();
  Object.assign(stage.env, env);
  const daemon = await stage.daemon();
  await (await stage.bus()).tasks.ensureRole({ role: "mortal", ackWaitMs: 1_000 });
  const crew = new Crew(stage, size);
  ending.push(() => crew.end(stage));
  return { stage, daemon };
}

it("runs end as if nobody had died, whichever task's agent is killed, and the daemon too", async () => {
  const undisturbed = await live((await newStage(1)).stage, async () => undefined);
  expect(undisturbed).toMatchObject({
    everything: {
      status: "done",
      environment: { total: 234, child: 91, level: 3, passed: 42, word: "given" },
    },
    bookings: {
      status: "failed",
      undone: [
        ["flight~undo", "completed"],
        ["hotel~undo", "completed"],
      ],
    },
    squares: { status: "done", spent: { dispatches: 6 } },
  });
  for (const end of ending.splice(0)) await end();

  const deaths = mkdtempSync(join(tmpdir(), "dh-deaths-"));
  ending.push(async () => rmSync(deaths, { recursive: true }));
  const { stage, daemon } = await newStage(3, { MORTAL_FOLDER: deaths });
  const disturbed = await live(stage, async () => {
    await expect.poll(() => readdirSync(deaths), { timeout: 60_000, interval: 50 }).toContain("square");
    process.kill(daemon.pid, "SIGKILL");
    await stage.daemon();
  });
  expect(disturbed).toEqual(undisturbed);
  expect(readdirSync(deaths).sort()).toEqual(TASKS);
}, 240_000);
