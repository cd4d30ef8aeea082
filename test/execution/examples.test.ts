/**
 * Every workflow in examples/execution, on one daemon with the examples' agent process: would catch an
 * example, and so a page of the documents, that does not do what it says.
 *
 * A file says in its first lines what it gives: `# gives {…}`, matched against what `run --json` prints. What people
 * do meanwhile stands before it, `# once ACTOR is STATE: COMMAND` for each. With `# again from STEP {…}` it is run
 * anew from that step afterwards, with `# forked after STEP {…}` forked where that step was done; with `# order …` its
 * steps were started in this order.
 */
import { readdir, readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { jsonOf, Workspace } from "../cli/workspace.ts";
import type { CliResult } from "../support/cli.ts";

const FOLDER = resolve(import.meta.dirname, "../../examples/execution");
const AGENTS = resolve(FOLDER, "agents.ts");

const files = (await readdir(FOLDER)).filter((name) => name.endsWith(".yaml")).sort();

let work: Workspace;
beforeAll(async () => {
  work = await Workspace.make();
  await work.up(["--agents", AGENTS]);
});
afterAll(() => work.remove());

/** Runs a workflow while people do what the file says: each act once a step or the run comes to a state. */
async function runWithPeople(path: string, text: string): Promise<CliResult> {
  const acts = [...text.matchAll(/^# once (\S+) is (\S+): (.*)$/gm)];
  if (acts.length === 0) return work.ask(["run", path, "--json"]);
  const { run } = jsonOf(await work.ask(["run", path, "--detach", "--json"])) as { run: string };
  let seen = 0;
  for (const [, actor = "", state = "", command = ""] of acts) {
    const watch = work.start(["watch", run, "--json"]);
    const line = await watch.waitForLine((text) => {
      const { actor: moved, to, seq } = JSON.parse(text) as { actor?: string; to?: string; seq: number };
      return moved === actor && to === state && seq > seen;
    });
    seen = (JSON.parse(line) as { seq: number }).seq;
    const done = await work.ask(command.split(" ").map((word) => (word === "RUN" ? run : word)));
    expect(done.code, `${command}: ${done.stderr}`).toBe(0);
  }
  const { stdout, ...rest } = await work.ask(["watch", run, "--json"]);
  return { ...rest, stdout: stdout.trimEnd().split("\n").at(-1) ?? "" };
}

/** The log sequence at which a step was done. */
async function doneAt(run: string, step: string): Promise<string> {
  const trace = await work.ask(["trace", run, "--step", step, "--format", "json"]);
  const moves = jsonOf(trace) as unknown as { to: string; seq: number }[];
  return String(moves.find(({ to }) => to === "done")?.seq);
}

/** A run's steps in the order of their starts. */
async function started({ run }: { run: string }): Promise<string> {
  const moves = jsonOf(await work.ask(["trace", run, "--json"])) as { actor: string; to: string }[];
  const starts = moves.filter(({ actor, to }) => actor !== "run" && to === "running");
  return starts.map(({ actor }) => actor).join(" ");
}

/** Runs a finished run again from a step on, or forks it after one, and holds what comes of it against the file. */
async function again(run: string, how: string, step: string, expected: object): Promise<void> {
  const command =
    how === "again from" ? ["rerun", run, "--from", step] : ["fork", run, "--at", await doneAt(run, step)];
  const begun = await work.ask([...command, "--json"]);
  const { run: id } = jsonOf(begun) as { run: string };
  await work.ask(["watch", id]);
  expect(jsonOf(await work.ask(["show", id, "--json"]))).toMatchObject(expected);
}

describe("an example gives what it says", () => {
  for (const file of files) {
    it(file, { timeout: 240_000 }, async () => {
      const path = resolve(FOLDER, file);
      const text = await readFile(path, "utf8");
      const gives = /^# gives (\{.*\})$/m.exec(text)?.[1];
      if (gives === undefined) throw new Error(`${file} does not say what it gives`);
      const expected = JSON.parse(gives);
      const result = await runWithPeople(path, text);
      expect(jsonOf(result), result.stderr).toMatchObject(expected);
      expect(result.code).toBe(expected.status === "done" ? 0 : 1);
      const order = /^# order (.*)$/m.exec(text)?.[1];
      if (order !== undefined) expect(await started(jsonOf(result) as { run: string })).toBe(order);
      const [, how, step, then] = /^# (again from|forked after) (\S+) (\{.*\})$/m.exec(text) ?? [];
      if (how === undefined || step === undefined || then === undefined) return;
      const { run } = jsonOf(result) as { run: string };
      await again(run, how, step, JSON.parse(then));
    });
  }
});
