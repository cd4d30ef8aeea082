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

  const asked = { role: "human", kind: "approve" } as const;
  const signalled = { role: "signal", kind: "signal" } as const;
  it.each([asked, signalled])("is refused as an answer of $role, which goes on waiting", ({ role, kind }) => {
    const log = new LogWriter().submit(workflow({ agent: role }));
    log.decide({ type: "claim", holder: "refuses", rules: 1 }, 2);
    const answer = (value: unknown) =>
      log.control(kind, { by: "ada", value, ...(kind === "approve" ? { step: "load" } : { name: "load" }) });
    answer([{ price: "2" }]);
    expect(log.voids.map(({ reason }) => reason)).toEqual([expect.stringContaining("rows[0].price: ")]);
    expect(log.fold.step("load").state).toBe("ready");
    answer([{ price: 2 }]);
    expect(log.fold.environment.get("rows")).toEqual([{ price: 2 }]);
  });

  it("fails its step as an answer under a holder that did not refuse it", () => {
    const log = new LogWriter().submit(workflow({ agent: "human" }));
    log.control("approve", { by: "ada", value: 7, step: "load" });
    expect(log.fold.dueEnd()?.error).toMatchObject({ code: "E_ENV_SCHEMA", step: "load" });
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

describe("a value that is in the log as a reference", () => {
  const reference = { $artifact: { name: "a1", bytes: 300_000, holds: "value" } };
  const update = { v: 1 as const, key: "rows", value: reference, by: "ada" };
  const judging = (submitted?: Record<string, unknown>): LogWriter => {
    const log = new LogWriter().submit(workflow(), submitted);
    log.decide({ type: "claim", holder: "looks", looks: true, judges: true }, 2);
    return log;
  };

  it("counts once it was held against the schema, at the place of that decision", () => {
    const log = judging();
    expect(log.add({ kind: "env", body: update })).toContainEqual({ type: "judge" });
    const { lastSeq: seq } = log.fold;
    expect(log.fold.environment.has("rows")).toBe(false);
    expect(log.fold.verdict(seq)).toBeUndefined();
    log.decide({ type: "judged", key: "rows", seq });
    expect(log.fold.environment.entry("rows")).toMatchObject({
      value: reference,
      revision: log.fold.lastSeq,
    });
    expect(log.fold.verdict(seq)).toEqual({ applied: true, revision: log.fold.lastSeq });
  });

  it("is refused when it does not match, and when the run ended before anybody looked", () => {
    const log = judging();
    log.add({ kind: "env", body: update });
    const first = log.fold.lastSeq;
    log.decide({ type: "judged", key: "rows", seq: first, problem: "rows: too long" });
    expect(log.fold.verdict(first)).toMatchObject({ error: expect.stringContaining("rows: too long") });
    log.add({ kind: "env", body: update });
    const second = log.fold.lastSeq;
    log.control("cancel");
    log.decide({ type: "end", status: "cancelled" });
    expect(log.fold.verdict(second)).toEqual({ applied: false, error: "the run has ended" });
    expect(log.fold.held).toEqual([]);
    expect(log.fold.environment.has("rows")).toBe(false);
  });

  it("lets nothing overtake it that is set for the same key meanwhile", () => {
    const log = judging();
    log.add({ kind: "env", body: update });
    log.add({ kind: "env", body: { ...update, value: [] } });
    expect(log.fold.environment.has("rows")).toBe(false);
    const [large, small] = log.fold.held;
    for (const { key, seq } of [large, small] as { key: string; seq: number }[])
      log.decide({ type: "judged", key, seq });
    expect(log.fold.environment.get("rows")).toEqual([]);
  });

  it("is refused when the dispatch that set it was closed meanwhile", () => {
    const log = judging();
    log.started("load");
    log.add({ kind: "env", body: { ...update, step: "load", n: 1 } });
    const seq = log.fold.lastSeq;
    log.result("load", { outputs: { rows: [] } });
    log.decide({ type: "judged", key: "rows", seq });
    expect(log.fold.verdict(seq)).toMatchObject({ applied: false, error: "its dispatch is closed" });
    expect(log.fold.environment.get("rows")).toEqual([]);
  });

  it("fails the run that was submitted with it", () => {
    const log = judging({ rows: reference });
    const [held] = log.fold.held;
    log.decide({ type: "judged", key: "rows", seq: held?.seq ?? 0, problem: "rows: too long" });
    expect(log.fold.dueEnd()).toMatchObject({ status: "failed", error: { code: "E_ENV_SCHEMA" } });
  });

  it("counts at once under a holder that could not look", () => {
    const log = new LogWriter().submit(workflow());
    log.add({ kind: "env", body: update });
    expect(log.fold.environment.get("rows")).toEqual(reference);
    log.decide({ type: "claim", holder: "looks", looks: true, judges: true }, 2);
    expect(log.fold.held).toEqual([]);
  });
});
