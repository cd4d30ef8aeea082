/**
 * The simulation finds bugs: every deliberate mistake in the runtime is caught within a bounded number of
 * seeds. Catches: judges that agree to everything, faults that never strike.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MUTATIONS, mutantHome, writeMutant } from "./mutants.ts";
import { mutationsPage } from "./mutations-page.ts";

/** A mutant that lives longer than this many seeds is not caught. */
const SEEDS = 800;

interface Catch {
  at: number;
  caught: { seed: number; rule: string } | null;
}

describe("the simulation notices when", () => {
  const home = mutantHome();
  const catches = new Map<number, Catch>();
  let errors = "";

  beforeAll(async () => {
    const mutants = MUTATIONS.map((mutation, at) => ({
      entry: writeMutant(home.folder, at, mutation),
      rule: mutation.rule,
    }));
    const program = fileURLToPath(new URL("./mutant-program.ts", import.meta.url));
    const args = ["--import", "tsx", program, String(SEEDS), JSON.stringify(mutants)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    await once(child, "close");
    for (const line of output.split("\n").filter((text) => text !== "")) {
      const caught = JSON.parse(line) as Catch;
      catches.set(caught.at, caught);
    }
  }, 3_600_000);

  afterAll(() => home.remove());

  it("the page tells by which rule; after a change: `npm run sim:mutations -- -u`", async () => {
    const rules = MUTATIONS.map((_, at) => catches.get(at)?.caught?.rule);
    await expect(mutationsPage(rules)).toMatchFileSnapshot("../../docs/mutations.md");
  });

  it.each(MUTATIONS.map(({ name }, at) => ({ name, at })))("$name", ({ at }) => {
    expect(catches.get(at), errors).toBeDefined();
    expect(catches.get(at)?.caught).not.toBeNull();
  });
});
