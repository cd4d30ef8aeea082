/**
 * A swarm of real processes in a folder of its own: the command, its daemons and agents, and what the log and the
 * agents' own notes say about a run afterwards.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect } from "vitest";
import type { Bus, LogRecord } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { runInShell } from "../cli/memory-shell.ts";
import { type CliResult, type RunningCli, startCli } from "../support/cli.ts";

/** Serves role `counter`; its task `count` notes `step n pid` in a file. */
export const COUNTING_AGENT = resolve(import.meta.dirname, "counting-agent.mjs");

export interface Ready {
  pid: number;
  nats: string;
  http: string | null;
}

export class Stage {
  readonly folder = mkdtempSync(join(tmpdir(), "dh-e2e-"));
  readonly env: Record<string, string> = {
    DATAHAMMER_STORE: join(this.folder, "store"),
    DATAHAMMER_ENTRY: resolve(import.meta.dirname, "../../dist/src/index.js"),
    COUNT_FILE: join(this.folder, "count.txt"),
  };
  readonly #started: RunningCli[] = [];
  readonly #buses: Bus[] = [];

  /** Makes every command use this broker instead of one of its own. */
  useBroker(broker: { url: string; token: string }): void {
    this.env.DATAHAMMER_NATS = broker.url;
    this.env.DATAHAMMER_TOKEN = broker.token;
  }

  async end(): Promise<void> {
    await Promise.all(this.#buses.map((bus) => bus.close()));
    // Who was stopped hears nothing else; and no broker may still write to the folder that goes next.
    for (const { child } of this.#started) child.kill("SIGCONT");
    await Promise.all(this.#started.map((cli) => cli.kill("SIGINT")));
    rmSync(this.folder, { recursive: true, force: true });
  }

  start(args: string[]): RunningCli {
    const cli = startCli(args, { cwd: this.folder, env: this.env });
    this.#started.push(cli);
    return cli;
  }

  async ready(cli: RunningCli): Promise<Ready> {
    return JSON.parse(await cli.waitForLine((line) => line.includes('"ready"'))) as Ready;
  }

  async daemon(...flags: string[]): Promise<{ cli: RunningCli } & Ready> {
    const cli = this.start(["up", "--json", ...flags]);
    return { cli, ...(await this.ready(cli)) };
  }

  async agent(file = COUNTING_AGENT, ...flags: string[]): Promise<{ cli: RunningCli } & Ready> {
    const cli = this.start(["agent", file, "--json", ...flags]);
    return { cli, ...(await this.ready(cli)) };
  }

  /** The tasks of an agent that is killed are given to others after a second. */
  async shortAckWait(): Promise<void> {
    await (await this.bus()).tasks.ensureRole({ role: "counter", ackWaitMs: 1_000 });
  }

  /** A command that talks to the daemon: in this process, so that the machine is the swarm's. */
  async run(...args: string[]): Promise<CliResult & { json(): Record<string, unknown> }> {
    const result = await runInShell(args, { cwd: this.folder, env: { ...process.env, ...this.env } });
    return { ...result, json: () => JSON.parse(result.stdout) as Record<string, unknown> };
  }

  async submit(workflow: object, run = "r1"): Promise<void> {
    const file = join(this.folder, `${run}.json`);
    writeFileSync(file, JSON.stringify(workflow));
    const result = await this.run("run", file, "--run", run, "--detach", "--json");
    expect(result.code, result.stderr).toBe(0);
  }

  /** A connection to the broker of the store, or to the one that is used. */
  async bus(): Promise<Bus> {
    const { DATAHAMMER_NATS: url, DATAHAMMER_TOKEN: token } = this.env;
    const broker =
      url === undefined
        ? (JSON.parse(readFileSync(join(this.folder, "store", "broker.json"), "utf8")) as {
            url: string;
            token: string;
          })
        : { url, token: token ?? "" };
    const bus = await connectNatsBus({ ...broker, name: "test" });
    this.#buses.push(bus);
    return bus;
  }

  async log(run = "r1"): Promise<LogRecord[]> {
    const bus = await this.bus();
    const records: LogRecord[] = [];
    for await (const record of bus.log.read(run)) records.push(record);
    return records;
  }

  /** What the agents noted: one line per start of a step. */
  executions(): { step: string; n: string; pid: string }[] {
    return readFileSync(this.env.COUNT_FILE as string, "utf8")
      .trim()
      .split("\n")
      .map((line) => {
        const [step = "", n = "", pid = ""] = line.split(" ");
        return { step, n, pid };
      });
  }
}

/** Columns of steps side by side; each step needs the one before it in its column. */
export function columns(steps: number, wide: number, ms: number, more: object = {}): object {
  return {
    name: "columns",
    maxParallel: wide,
    ...more,
    steps: Array.from({ length: steps }, (_, index) => ({
      id: `s${index}`,
      agent: "counter",
      task: "count",
      inputs: { ms },
      outputs: [`s${index}_out`],
      dependsOn: index < wide ? [] : [`s${index - wide}`],
    })),
  };
}

/** Follows a run's raw log and tells when so many results are in it. */
export async function results(bus: Bus, run: string, count: number): Promise<void> {
  const seen = new Set<string>();
  let reached: () => void = () => undefined;
  const enough = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const follower = await bus.log.follow(run, (record) => {
    if (record.kind !== "result" || record.body.status !== "done") return;
    if (seen.add(record.body.step).size >= count) reached();
  });
  await enough;
  follower.close();
}

/** The process of the daemon that claimed the run last. */
export function holderPid(records: readonly LogRecord[]): number {
  const holders = records.flatMap((record) =>
    record.kind === "decision" && record.body.type === "claim" ? [record.body.holder] : [],
  );
  // daemon-<host>-<pid>-<six random characters, dashes among them>
  return Number(/-(\d+)-.{6}$/.exec(holders.at(-1) ?? "")?.[1]);
}

/**
 * Judges a run that is done from its raw log alone: one result that counts for each step, one end, and no decision
 * of a holder that another had followed.
 */
export function expectWhole(records: readonly LogRecord[], steps: number): void {
  const done = new Map<string, number>();
  let epoch = 0;
  const ends: string[] = [];
  for (const record of records) {
    expect(record.kind).not.toBe("unreadable");
    if (record.kind === "result" && record.body.status === "done") {
      done.set(record.body.step, (done.get(record.body.step) ?? 0) + 1);
    }
    if (record.kind !== "decision") continue;
    const { body } = record;
    if (body.type === "claim") expect(body.epoch).toBe(epoch + 1);
    else expect(body.epoch).toBe(epoch);
    epoch = body.epoch;
    if (body.type === "end") ends.push(body.status);
  }
  expect(ends).toEqual(["done"]);
  expect(done.size).toBe(steps);
}

/** The trace has one completion for each step. */
export async function expectOneCompletionEach(stage: Stage, run: string, steps: number): Promise<void> {
  const shown = await stage.run("show", run, "--json");
  expect(shown.json()).toMatchObject({ run, status: "done" });
  const trace = JSON.parse((await stage.run("trace", run, "--format", "json")).stdout) as {
    actor: string;
    to: string;
  }[];
  const completed = trace
    .filter(({ actor, to }) => actor !== "run" && to === "done")
    .map(({ actor }) => actor);
  expect(completed.length).toBe(steps);
  expect(new Set(completed).size).toBe(steps);
}
