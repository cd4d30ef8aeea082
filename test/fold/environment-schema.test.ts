/**
 * Schemas of environment keys in the fold.
 * Catches: a value that gets in although it does not match, whoever writes it, and an error without the place.
 */
import { describe, expect, it } from "vitest";
import { validateWorkflow } from "../../src/workflow/graph.ts";
import { LogWriter } from "./log-writer.ts";

const schema = { type: "array", items: { type: "object", properties: { price: { type: "number" } } } };
const workflow = (more: Record<string, unknown> = {}) => ({
  environment: { rows: { schema } },
  steps: [{ id: "load", agent: "loader", task: "load", outputs: ["rows"], ...more }],
});

describe("a value that does not match", () => {
  it("fails the step that gives it, at once, naming the place", () => {
    const log = new LogWriter().submit(workflow());
    log.result("load", { outputs: { rows: [{ price: 1 }, { price: "2" }] } });
    expect(log.fold.step("load")).toMatchObject({ state: "failed", context: { attempt: 1 } });
    expect(log.fold.dueEnd()?.error).toMatchObject({ code: "E_ENV_SCHEMA", step: "load" });
    expect(log.fold.dueEnd()?.error?.message).toContain("rows[1].price: ");
    expect(log.fold.environment.has("rows")).toBe(false);
  });

  it("is refused as an update, by an agent or a person", () => {
    const log = new LogWriter().submit(workflow());
    log.started("load");
    const update = { v: 1 as const, key: "rows", value: "none", by: "ada" };
    log.add({ kind: "env", body: update });
    log.add({ kind: "env", body: { ...update, step: "load", n: 1 } });
    expect(log.voids.map(({ verdict }) => verdict)).toEqual(["refused", "refused"]);
    const verdict = log.fold.verdict(log.fold.lastSeq);
    expect(verdict).toMatchObject({ applied: false, error: expect.stringContaining("rows: ") });
    log.add({ kind: "env", body: { ...update, value: [] } });
    expect(log.fold.environment.get("rows")).toEqual([]);
  });

  it("fails the run that starts with it", () => {
    const log = new LogWriter().submit(workflow(), { rows: 7 });
    expect(log.fold.dueEnd()).toMatchObject({ status: "failed", error: { code: "E_ENV_SCHEMA" } });
  });

  it("fails a fan-out whose list it would be", () => {
    const rows = { rows: { schema: { type: "array", maxItems: 1 } } };
    const step = { id: "load", agent: "loader", task: "load", outputs: ["rows"], forEach: [1, 2] };
    const log = new LogWriter().submit({ environment: rows, steps: [step] });
    for (const item of ["load~0", "load~1"]) log.result(item, { outputs: { rows: 1 } });
    expect(log.fold.dueEnd()?.error).toMatchObject({ code: "E_ENV_SCHEMA", step: "load" });
  });
});

it("null for a step that was skipped is let in", () => {
  const log = new LogWriter().submit(workflow({ when: "false" }));
  expect(log.fold.environment.get("rows")).toBeNull();
});

it("a schema that cannot be used is refused before the run", () => {
  const { issues } = validateWorkflow({
    ...workflow(),
    environment: { rows: { schema: { $ref: "https://elsewhere.example/schema" } } },
  });
  expect(issues).toMatchObject([{ code: "E_SCHEMA", path: "environment.rows.schema" }]);
});
