/**
 * Every workflow in examples/execution, with the real command and its own agent process: would catch an
 * example, and so a page of the documents, that does not do what it says.
 *
 * A file says in its first lines what it gives: `# gives {…}`, matched against what `run --json` prints.
 */
import { readdir, readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { jsonOf, Workspace } from "../cli/workspace.ts";

const FOLDER = resolve(import.meta.dirname, "../../examples/execution");
const AGENTS = resolve(FOLDER, "agents.ts");

const files = (await readdir(FOLDER)).filter((name) => name.endsWith(".yaml")).sort();

let work: Workspace;
beforeAll(async () => {
  work = await Workspace.make();
});
afterAll(() => work.remove());

describe("an example gives what it says", () => {
  for (const file of files) {
    it(file, { timeout: 120_000 }, async () => {
      const path = resolve(FOLDER, file);
      const gives = /^# gives (\{.*\})$/m.exec(await readFile(path, "utf8"))?.[1];
      if (gives === undefined) throw new Error(`${file} does not say what it gives`);
      const expected = JSON.parse(gives);
      const result = await work.run(["run", path, "--agents", AGENTS, "--json"], { timeoutMs: 100_000 });
      expect(jsonOf(result), result.stderr).toMatchObject(expected);
      expect(result.code).toBe(expected.status === "done" ? 0 : 1);
    });
  }
});
