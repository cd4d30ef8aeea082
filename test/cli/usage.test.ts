/**
 * What needs no swarm: would catch a wrong exit code, an error without a remedy, words mixed into JSON, or a
 * setting that is taken from the wrong place.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exitCodeOf } from "../../src/cli/exit-code.ts";
import { readInputs } from "../../src/cli/given-file.ts";
import { runProgram } from "../../src/cli/program.ts";
import { resolveSettings } from "../../src/cli/settings.ts";
import { makeRunId } from "../../src/client/run-id.ts";
import {
  DataHammerError,
  InvalidInputError,
  InvalidWorkflowError,
  NoPlanError,
  NotFoundError,
  UnreachableError,
} from "../../src/workflow/errors.ts";
import { ID_PATTERN } from "../../src/workflow/names.ts";
import { memoryShell } from "./memory-shell.ts";

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), "datahammer-usage-"));
  await writeFile(join(cwd, "good.yaml"), "steps: [{ id: a, agent: x, task: t }]");
  await writeFile(
    join(cwd, "cycle.yaml"),
    "steps:\n  - { id: a, agent: x, task: t, dependsOn: [b] }\n  - { id: b, agent: x, task: t, dependsOn: [a] }\n",
  );
  await writeFile(join(cwd, "binary.yaml"), Buffer.from([0, 1, 2, 255, 254]));
  await writeFile(
    join(cwd, "caps.yaml"),
    "agents: [{ role: loader, tasks: [{ name: load, gives: [dataset] }] }]",
  );
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

async function call(line: string, env: Record<string, string> = {}) {
  const shell = memoryShell({ cwd, env });
  const code = await runProgram(line === "" ? [] : line.split(" "), shell);
  return { code, out: shell.out(), err: shell.err() };
}

describe("a command line that makes no sense", () => {
  it.each([
    ["rnu", "Did you mean run?"],
    ["runs --jsn", "Did you mean --json?"],
    ["show", "missing required argument"],
    ["run", "Name a workflow FILE"],
    ["run good.yaml --goal report", "--goal"],
    ["run good.yaml --input nonsense", "KEY=VALUE"],
    ["run good.yaml --timeout soon", "500ms"],
    ["runs --limit many", "whole number"],
    ["runs --status odd", "planning, running"],
    ["env r set a", "env RUN set KEY JSON"],
    ["trace r --format gif", "text, json, mermaid"],
    ["roles add x --encoding xml", "json or msgpack"],
    ["roles add a.b", "letters, digits"],
    ["agent a.ts --concurrency 0", "from 1 to"],
    ["completion tcsh", "bash, zsh, fish"],
    ["runs --nats http://x", "nats://127.0.0.1:4222"],
    ["runs --swarm a.b", "letters, digits"],
    ["runs --store=", "names no folder"],
    ["runs --log-level loud", "trace, debug"],
  ])("%s: ends with 2 and says what to do", async (line, hint) => {
    const { code, out, err } = await call(line);
    expect(err).toContain(hint);
    expect(err).toMatch(/^error: .+\nremedy: .+\n$/s);
    expect({ code, out }).toEqual({ code: 2, out: "" });
  });

  it("is told as one JSON object with --json, and stdout stays clean", async () => {
    const { code, out, err } = await call("--json rnu");
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(JSON.parse(err)).toEqual({
      error: { code: "E_USAGE", message: "unknown command 'rnu'", remedy: "Did you mean run?" },
    });
  });
});

describe("commands that need no swarm", () => {
  it("prints help and version on stdout", async () => {
    for (const line of ["", "--help", "help run", "run --help"]) {
      const { code, out, err } = await call(line);
      expect({ code, err }, line).toEqual({ code: 0, err: "" });
      expect(out).toContain("Usage: datahammer");
    }
    expect((await call("--version")).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("validates a workflow: 0 when valid, 5 with every error and its line when not, 3 when it is not there", async () => {
    expect(await call("validate good.yaml --json")).toMatchObject({
      code: 0,
      out: '{"valid":true,"errors":[]}\n',
    });
    const cycle = await call("validate cycle.yaml --json");
    expect(cycle.code).toBe(5);
    expect(JSON.parse(cycle.out)).toEqual({
      valid: false,
      errors: [expect.objectContaining({ code: "E_CYCLE", step: "a", line: 2 })],
    });
    expect((await call("validate cycle.yaml")).out).toMatch(/^cycle\.yaml:2 {2}E_CYCLE/);
    expect(JSON.parse((await call("validate binary.yaml --json")).out).errors[0].code).toBe("E_PARSE");
    expect((await call("validate nope.yaml")).code).toBe(3);
    expect((await call(`validate ${cwd}`)).code).toBe(2);
  });

  it("refuses to run an invalid workflow before anything is started", async () => {
    const { code, err } = await call("run cycle.yaml");
    expect(code).toBe(5);
    expect(err).toContain("E_CYCLE");
    expect(err).toContain("(line 2)");
  });

  it("plans offline: 0 with a workflow that runs, 5 when nothing reaches the goal", async () => {
    const plan = await call("plan --want dataset --capabilities caps.yaml --json");
    expect(plan.code).toBe(0);
    expect(JSON.parse(plan.out)).toMatchObject({
      cost: 1,
      optimal: true,
      workflow: { steps: [{ agent: "loader", task: "load" }] },
    });
    const none = await call("plan --want gold --capabilities caps.yaml --json");
    expect(none).toMatchObject({ code: 5, out: "" });
    expect(JSON.parse(none.err).error.remedy).toContain("gold");
  });

  it("ends with 4 where no daemon runs and where no broker listens", async () => {
    for (const line of ["runs", "show r", "agents", "run good.yaml --detach", "cancel r", "plan --want x"]) {
      const { code, err } = await call(line);
      expect(code, line).toBe(4);
      expect(err).toContain("datahammer up");
    }
    const { code, err } = await call("runs", { DATAHAMMER_NATS: "nats://127.0.0.1:1" });
    expect(code).toBe(4);
    expect(err).toContain("nats://127.0.0.1:1");
  });

  it("prints completion scripts that know every command", async () => {
    for (const shell of ["bash", "zsh", "fish"]) {
      const { out } = await call(`completion ${shell}`);
      for (const word of ["demo", "validate", "doctor", "--if-revision"]) {
        expect(out).toContain(shell === "fish" ? word.replace(/^--/, "-l ") : word);
      }
    }
  });
});

describe("settings", () => {
  it("come from the flag, else the variable, else the file, else the default", async () => {
    const folder = await mkdtemp(join(tmpdir(), "datahammer-settings-"));
    try {
      expect(resolveSettings({}, {}, folder)).toMatchObject({
        swarm: "main",
        store: join(folder, ".datahammer"),
        nats: undefined,
      });
      await writeFile(join(folder, "datahammer.yaml"), "swarm: from-file\nnats: broker:4222\nstore: data\n");
      expect(resolveSettings({}, {}, folder)).toMatchObject({
        swarm: "from-file",
        nats: "nats://broker:4222",
        store: join(folder, "data"),
      });
      expect(
        resolveSettings({}, { DATAHAMMER_SWARM: "from-env", DATAHAMMER_NATS: "" }, folder),
      ).toMatchObject({
        swarm: "from-env",
        nats: "nats://broker:4222",
      });
      expect(resolveSettings({ swarm: "from-flag" }, { DATAHAMMER_SWARM: "from-env" }, folder).swarm).toBe(
        "from-flag",
      );
      await writeFile(join(folder, "datahammer.yaml"), "swram: typo\n");
      expect(() => resolveSettings({}, {}, folder)).toThrow(/swram/);
      await writeFile(join(folder, "datahammer.yaml"), "swarm: [\n");
      expect(() => resolveSettings({}, {}, folder)).toThrow(InvalidInputError);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("take inputs as JSON where they are JSON, as text where not, and a pair over the file", async () => {
    await writeFile(join(cwd, "inputs.yaml"), "a: 1\nb: two\n");
    expect(await readInputs(["a=3", "c=[1]", "d=x=y", "e="], "inputs.yaml", cwd)).toEqual({
      a: 3,
      b: "two",
      c: [1],
      d: "x=y",
      e: "",
    });
  });
});

describe("exit codes and ids", () => {
  it("follow from what the caller can do about the error", () => {
    expect(exitCodeOf(new InvalidInputError("E", ""))).toBe(2);
    expect(exitCodeOf(new NotFoundError("E", ""))).toBe(3);
    expect(exitCodeOf(new UnreachableError("E", ""))).toBe(4);
    expect(exitCodeOf(new InvalidWorkflowError("", []))).toBe(5);
    expect(exitCodeOf(new NoPlanError("E", ""))).toBe(5);
    expect(exitCodeOf(new DataHammerError("E", ""))).toBe(1);
    expect(exitCodeOf(new TypeError("a fault"))).toBe(1);
  });

  it("gives readable run ids from any name", () => {
    const now = Date.UTC(2026, 0, 2, 3, 4, 5);
    expect(makeRunId("sales report", now, () => 0)).toBe("sales-report-0102-030405-aaaa");
    for (const name of [
      "",
      "日本語",
      "-".repeat(200),
      "a".repeat(200),
      "What drives the price of flats in Berlin, please?",
    ]) {
      for (const random of [0, 0.5, 0.999999]) expect(makeRunId(name, now, () => random)).toMatch(ID_PATTERN);
    }
  });
});
