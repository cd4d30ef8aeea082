/**
 * `npm run chaos -- --rounds N [--seed S] [--nats-server BIN]`: real daemons, agents and a nats-server as processes,
 * killed, stopped, continued and terminated at random while runs of hundreds of steps go through; each round is
 * judged from the raw log. What is done and when follows the seed; what comes of it is the machine's matter, so a
 * seed repeats the choices and not the bytes. Ends with 1 at the first round that fails, and keeps what there is.
 */
import { readFileSync, rmSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Bus, LogRecord } from "../src/bus/bus.ts";
import { Chance } from "../src/simulation/chance.ts";
import type { WorkflowDocument } from "../src/workflow/document.ts";
import { ChaosSwarm, delay } from "../test/chaos/swarm.ts";
import { judgeRun, readJournal } from "../test/chaos/verdict.ts";
import { chaosWorkflow } from "../test/chaos/workflows.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    "nats-server": { type: "string" },
    steps: { type: "string", default: "250" },
  },
});
const rounds = Number(values.rounds);
const seed = Number(values.seed);
const steps = Number(values.steps);
if (![rounds, seed, steps].every(Number.isInteger) || rounds < 1 || steps < 1) {
  process.stderr.write("--rounds, --seed and --steps must be whole numbers, rounds and steps from 1.\n");
  process.exit(2);
}
if (values["nats-server"] !== undefined) process.env.DATAHAMMER_NATS_SERVER = values["nats-server"];

const DAEMONS = 2;
const AGENTS = 3;
/** Trouble goes on for at least so long in each round, or until the runs have ended. */
const TROUBLE_MS = 9_000;
/** A healthy swarm ends what is left within this. */
const END_MS = 120_000;

process.stdout.write(`seed ${seed}, ${rounds} rounds\n`);
const swarm = await ChaosSwarm.start(DAEMONS, AGENTS);
let failed = false;
for (let round = 1; round <= rounds && !failed; round++) failed = !(await play(round));
if (!failed) failed = !(await nothingIsLeft(swarm.bus));
await swarm.stop();
if (failed) {
  process.stdout.write(
    `kept: ${swarm.folder} (journal, logs of every process), ${swarm.store} (the broker's store)\n`,
  );
  process.stdout.write(
    "look: nats-server -js -sd STORE/data -p 4333, then datahammer --nats nats://127.0.0.1:4333 trace RUN\n",
  );
} else {
  rmSync(swarm.folder, { recursive: true, force: true });
  rmSync(swarm.store, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);

async function play(round: number): Promise<boolean> {
  const chance = new Chance(seed + round, "chaos");
  const begun = performance.now();
  const runs = new Map<string, WorkflowDocument>([
    [`c${round}-a`, chaosWorkflow(chance, chance.between(steps / 2, steps))],
    [`c${round}-b`, chaosWorkflow(chance, chance.between(20, steps / 2))],
    [`c${round}-cancelled`, chaosWorkflow(chance, 60)],
  ]);
  for (const [run, workflow] of runs) {
    const entry = { kind: "submit", body: { v: 1, workflow, inputs: {} } } as const;
    await persist(() => swarm.bus.log.append(run, entry, { expectLast: 0 }));
  }
  const open = new Set(runs.keys());
  const ended = Promise.all(
    [...runs.keys()].map(async (run) => {
      await untilEnded(run);
      open.delete(run);
    }),
  );
  const hurts: string[] = [];
  const control = (run: string, verb: "cancel" | "pause" | "resume") =>
    persist(() => swarm.bus.log.append(run, { kind: "control", body: { v: 1, verb, by: "chaos" } }));
  let paused = false;
  while (open.size > 0 && performance.now() - begun < TROUBLE_MS) {
    hurts.push(await swarm.hurt(chance));
    await delay(chance.between(200, 1_500));
    if (chance.happens(0.15)) await control(`c${round}-cancelled`, "cancel");
    if (chance.happens(0.15)) {
      await control(`c${round}-b`, paused ? "resume" : "pause");
      paused = !paused;
    }
    if (chance.happens(0.2)) {
      const body = { v: 1, key: "person", value: chance.between(0, 99), by: "chaos" } as const;
      await persist(() => swarm.bus.log.append(`c${round}-a`, { kind: "env", body }));
    }
  }
  await swarm.heal();
  if (paused) await control(`c${round}-b`, "resume");
  await control(`c${round}-cancelled`, "cancel");
  await Promise.race([ended, delay(END_MS)]);
  const starts = readJournal(readFileSync(swarm.journal, "utf8"));
  const words: string[] = [];
  let wrong = false;
  for (const [run, workflow] of runs) {
    const records = await read(run);
    const verdict = judgeRun(
      run,
      workflow,
      records,
      starts.filter((start) => start.run === run),
    );
    const { status, claims, again, late } = verdict;
    words.push(
      `${run.split("-")[1]} ${workflow.steps.length} ${status}, ${claims} claims, ${again} again, ${late} late`,
    );
    for (const { rule, what } of verdict.wrongs.slice(0, 10))
      process.stdout.write(`  WRONG ${rule}: ${what}\n`);
    wrong ||= verdict.wrongs.length > 0;
  }
  const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
  process.stdout.write(`round ${round} (${seconds} s, ${hurts.length} hurts): ${words.join("; ")}\n`);
  if (wrong) process.stdout.write(`  ${hurts.join(", ")}\n`);
  return !wrong;
}

/** The broker may be away: what a person or program does then is to try again. */
async function persist(act: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await act();
      return;
    } catch {
      await delay(100);
    }
  }
}

function untilEnded(run: string): Promise<void> {
  return new Promise((resolve) => {
    void swarm.bus.log.follow(run, (record) => {
      if (record.kind === "decision" && record.body.type === "end") resolve();
    });
  });
}

async function read(run: string): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for await (const record of swarm.bus.log.read(run)) records.push(record);
  return records;
}

/** Tasks of closed dispatches are swept once a minute; runs that have ended are in no queue. */
async function nothingIsLeft(bus: Bus): Promise<boolean> {
  const giveUpAt = performance.now() + 150_000;
  for (;;) {
    const roles = await bus.tasks.roles();
    const left = roles.reduce((sum, { queued, held }) => sum + queued + held, 0);
    if (left === 0) return true;
    if (performance.now() > giveUpAt) {
      process.stdout.write(`  WRONG nothing is left in the queues: ${JSON.stringify(roles)}\n`);
      return false;
    }
    await delay(1_000);
  }
}
