/**
 * Values above the claim check's bound, which are in the log as references.
 * Catches: an expression that is evaluated on the reference instead of the value, a list that does not fit one
 * message, a value that is fetched although it is only passed on, and a step that waits for ever when its
 * daemon dies while it fetches.
 */
import { expect, it } from "vitest";
import { checkIn, isClaimCheck } from "../../src/bus/claim-check.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import { SwarmStage } from "./swarm-stage.ts";

const rows = Array.from({ length: 9_000 }, (_, n) => ({ id: n, name: `row ${n} ${"x".repeat(60)}` }));
const workflow = {
  maxParallel: 10_000,
  steps: [
    { id: "load", agent: "worker", task: "load", outputs: ["rows"] },
    {
      id: "each",
      agent: "clerk",
      task: "work",
      dependsOn: ["load"],
      when: "size(env.rows) == 9000",
      forEach: "env.rows.filter(r, r.id >= 10)",
      inputs: { id: "${item.id}", of: "${size(env.rows)}", first: "${env.rows[0].id}" },
    },
    { id: "never", agent: "clerk", task: "work", dependsOn: ["load"], when: "env.rows[5].id != 5" },
    { id: "whole", agent: "reader", task: "read", dependsOn: ["load"], inputs: { rows: "${env.rows}" } },
  ],
  outputs: { rows: "${env.rows}" },
};

async function stageWithRows(): Promise<SwarmStage> {
  const stage = new SwarmStage();
  for (const role of ["worker", "reader"]) await stage.serve(role);
  await stage.serve("clerk", 20_000);
  await stage.daemon();
  await stage.submit(workflow);
  const outputs = await checkIn(stage.bus.artifacts, "r1", { rows });
  expect(isClaimCheck(outputs.rows)).toBe(true);
  await stage.answer("worker", { outputs });
  return stage;
}

it("conditions, lists and inputs look inside a large value; one that is passed on whole stays a reference", async () => {
  const stage = await stageWithRows();
  await stage.clock.advance(1_000);
  const fold = await stage.fold();
  expect(fold.step("never").context.outcome).toBe("skipped");
  expect(fold.fanOutOf("each")).toMatchObject({ items: 8_990 });
  expect(fold.taskOf("each~0").inputs).toEqual({ id: 10, of: 9_000, first: 0 });
  expect(fold.taskOf("each~8989").inputs).toEqual({ id: 8_999, of: 9_000, first: 0 });
  expect(isClaimCheck(stage.taken.get("reader")?.[0]?.task.inputs.rows)).toBe(true);
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  expect((await client.show("r1")).environment.rows).toEqual(rows);
});

it("a successor looks into the values that its predecessor had begun to fetch", async () => {
  const stage = new SwarmStage();
  for (const role of ["worker", "reader", "clerk"]) await stage.serve(role);
  const first = await stage.daemon();
  await stage.submit(workflow);
  // The daemon never gets the value.
  first.bus.artifacts.get = () => new Promise(() => undefined);
  await stage.answer("worker", { outputs: await checkIn(stage.bus.artifacts, "r1", { rows }) });
  expect([...(await stage.fold()).unresolved].sort()).toEqual(["each", "never"]);
  await stage.daemon();
  await first.bus.close();
  await stage.clock.advance(30_000);
  const fold = await stage.fold();
  expect(fold.unresolved.size).toBe(0);
  expect(fold.fanOutOf("each")).toMatchObject({ items: 8_990 });
});

it("an expression that fails on a large value fails its step with the reason", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await stage.submit({
    steps: [
      { id: "load", agent: "worker", task: "load", outputs: ["rows"] },
      { id: "each", agent: "worker", task: "work", dependsOn: ["load"], forEach: "env.rows[0]" },
    ],
  });
  await stage.answer("worker", { outputs: await checkIn(stage.bus.artifacts, "r1", { rows }) });
  await stage.clock.advance(1_000);
  const fold = await stage.fold();
  expect(fold).toMatchObject({ status: "failed", error: { code: "E_NOT_A_LIST", step: "each" } });
});

it("a value above the bound can be set by a person, and given as an input", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  const steps = [
    {
      id: "a",
      agent: "worker",
      task: "t",
      inputs: { n: "${size(inputs.rows)}" },
      when: "size(env.known) > 0",
    },
  ];
  await client.submit({ run: "r2", workflow: { steps }, inputs: { rows }, environment: { known: rows } });
  await stage.clock.advance(1_000);
  expect(stage.taken.get("worker")?.[0]?.task.inputs).toEqual({ n: 9_000 });
  const seen: string[] = [];
  stage.bus.live.onEnv("r2", ({ key, value }) => void seen.push(`${key} ${isClaimCheck(value)}`));
  await client.setEnvironment("r2", "known", [...rows, ...rows]);
  await client.setEnvironment("r2", "small", 1);
  await stage.clock.advance(1_000);
  expect((await client.environment("r2", "known")).values.known).toHaveLength(18_000);
  expect(seen).toEqual(["known true", "small false"]);
});
