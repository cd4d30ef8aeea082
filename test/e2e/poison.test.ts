/**
 * A task that ends its agents, with the real command, real processes and a real broker.
 * Catches: one that goes on killing, and harmless tasks that are failed as poison because they ran beside it.
 */
import { resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Stage } from "./stage.ts";

const AGENT = resolve(import.meta.dirname, "deadly-agent.mjs");

let stage: Stage;
beforeEach(() => {
  stage = new Stage();
});
afterEach(() => stage.end());

it("a task that ends its agents is failed as poison, and what ran beside it is done", async () => {
  await stage.daemon("--agents", AGENT);
  await (await stage.bus()).tasks.ensureRole({ role: "deadly", ackWaitMs: 1_000 });
  const beside = (id: string) => ({ id, agent: "deadly", task: "work" });
  await stage.submit({
    steps: [
      ...["a", "b", "c"].map(beside),
      { id: "poison", agent: "deadly", task: "kill", onFailure: "continue" },
      ...["d", "e", "f"].map(beside),
    ],
  });
  expect((await stage.run("watch", "r1")).code).toBe(0);
  const { steps } = (await stage.run("show", "r1", "--json")).json() as {
    steps: Record<string, { state: string; outcome: string; failures?: object[] }>;
  };
  expect(steps.poison).toMatchObject({ state: "failed", failures: [{ code: "E_POISON" }] });
  for (const id of ["a", "b", "c", "d", "e", "f"]) expect(steps[id]).toMatchObject({ outcome: "completed" });
}, 180_000);
