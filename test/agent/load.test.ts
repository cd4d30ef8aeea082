/**
 * Loading agent files as the command does. Catches: a file that only works inside this repository, and
 * errors that name neither the file nor what to do.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

interface Outcome {
  roles?: string[];
  tasks?: string[][];
  name?: string;
  code?: string;
  message?: string;
  remedy?: string;
}

const GREETER = `
import { defineAgent } from "datahammer";
import { z } from "zod";
export default defineAgent({ role: "ROLE", tasks: { greet: { inputs: z.object({}), run: () => ({}) } } });
`;
const TYPED = "const answer: number = 42;\nexport const unused = answer as unknown;\n";

/** Every file that is written, and the lists of files that are loaded, by the name of the case. */
const FILES: Record<string, string> = {
  "plain/a.mjs": GREETER.replace("ROLE", "esm"),
  "plain/b.ts": TYPED + GREETER.replace("ROLE", "typescript"),
  "plain/c.js": `module.exports = { role: "commonjs", tasks: { greet: { run() {} } } };`,
  "modules/package.json": `{ "type": "module" }`,
  "modules/d.ts": TYPED + GREETER.replace("ROLE", "module"),
  "plain/list.mjs": `
    import { defineAgent } from "datahammer";
    const agent = (role) => defineAgent({ role, tasks: { greet: { run() {} } } });
    export default [agent("one"), agent("two")];`,
  "bad/throws.ts": `const ready: boolean = true;\n\nfunction load(): never {\n  throw new RangeError("no key for the service");\n}\n\nload();\nexport default ready;\n`,
  "bad/syntax.ts": "export default {\n  role: 'x'\n  tasks: {}\n};\n",
  "bad/syntax.mjs": "export default {\n  role: 'x'\n  tasks: {}\n};\n",
  "bad/import.mjs": `import "not-installed-anywhere";\nexport default {};\n`,
  "bad/nothing.mjs": "export const agent = 1;\n",
  "bad/other.mjs": "export default 42;\n",
  "bad/empty.mjs": "export default [];\n",
  "bad/role.mjs": `import { defineAgent } from "datahammer";\n\nexport default defineAgent({ role: "a b", tasks: { t: { run() {} } } });\n`,
  "bad/unchecked.mjs": `export default { role: "x", tasks: { t: {} } };\n`,
};

let folder: string;
const outcomes = new Map<string, Outcome>();

const CASES: Record<string, string[]> = Object.fromEntries([
  ...Object.keys(FILES).map((file) => [file, [file]]),
  ["missing", ["bad/missing.ts"]],
  ["folder", ["bad"]],
  ["twice", ["plain/a.mjs", "plain/list.mjs", "plain/a.mjs"]],
  ["several", ["plain/a.mjs", "plain/b.ts", "plain/list.mjs"]],
]);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "datahammer-load-"));
  for (const [file, text] of Object.entries(FILES)) {
    await mkdir(join(folder, file, ".."), { recursive: true });
    await writeFile(join(folder, file), text);
  }
  const lists = Object.values(CASES).map((files) => files.map((file) => join(folder, file)));
  const script = fileURLToPath(new URL("./load-files.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--import",
    "tsx",
    script,
    JSON.stringify(lists),
  ]);
  const lines = stdout.trim().split("\n");
  Object.keys(CASES).forEach((name, index) => {
    outcomes.set(name, JSON.parse(lines[index] ?? "{}"));
  });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function outcome(name: string): Outcome {
  return outcomes.get(name) ?? {};
}

describe("an agent file in a folder where nothing is installed", () => {
  it.each([
    ["JavaScript", "plain/a.mjs", "esm"],
    ["TypeScript that no package.json marks as a module", "plain/b.ts", "typescript"],
    ["TypeScript in a package of modules", "modules/d.ts", "module"],
    ["CommonJS", "plain/c.js", "commonjs"],
  ])("loads when it is %s", (_what, file, role) => {
    expect(outcome(file)).toEqual({ roles: [role], tasks: [["greet"]] });
  });

  it("may export a list, and several files load in the given order", () => {
    expect(outcome("plain/list.mjs").roles).toEqual(["one", "two"]);
    expect(outcome("several").roles).toEqual(["esm", "typescript", "one", "two"]);
  });
});

describe("an agent file that cannot be used", () => {
  it.each([
    [
      "throws while loading",
      "bad/throws.ts",
      "E_AGENT_FILE",
      /throws\.ts .*line 4.*RangeError: no key for the service/,
    ],
    ["has a syntax error in TypeScript", "bad/syntax.ts", "E_AGENT_FILE", /syntax\.ts .*line 3/],
    ["has a syntax error in JavaScript", "bad/syntax.mjs", "E_AGENT_FILE", /syntax\.mjs .*line 3/],
    ["imports what is not there", "bad/import.mjs", "E_AGENT_FILE", /import\.mjs .*not-installed-anywhere/],
    ["has no default export", "bad/nothing.mjs", "E_AGENT_FILE", /nothing\.mjs .*no default export/],
    ["exports something else", "bad/other.mjs", "E_AGENT_FILE", /other\.mjs .*no agent/],
    ["exports an empty list", "bad/empty.mjs", "E_AGENT_FILE", /empty\.mjs .*empty list/],
    [
      "defines an agent that is wrong",
      "bad/role.mjs",
      "E_AGENT_FILE",
      /role\.mjs .*line 3.*role must match .*"a b"/,
    ],
    [
      "holds an agent that nobody checked",
      "bad/unchecked.mjs",
      "E_AGENT_DEFINITION",
      /unchecked\.mjs.*"t".* no run function/,
    ],
    ["is a folder", "folder", "E_AGENT_FILE", /bad .*it is no file/],
    [
      "serves a role that another file serves",
      "twice",
      "E_DUPLICATE_ROLE",
      /role "esm" is served twice by .*a\.mjs/,
    ],
  ])("because it %s is told by its name, with the place and a remedy", (_what, name, code, message) => {
    expect(outcome(name)).toMatchObject({ name: "InvalidInputError", code });
    expect(outcome(name).message).toMatch(message);
    expect(outcome(name).remedy).toMatch(/\w+.*\.$/);
  });

  it("because it is not there is told as not found", () => {
    expect(outcome("missing")).toMatchObject({ name: "NotFoundError", code: "E_AGENT_FILE_NOT_FOUND" });
    expect(outcome("missing").message).toContain(join(folder, "bad/missing.ts"));
  });
});
