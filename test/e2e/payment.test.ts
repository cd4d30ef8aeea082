/**
 * The example of an effect that happens once.
 * Catches: a documented pattern that does not keep its promise, and an idempotency key that changes from one execution
 * of a step to the next.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Stage } from "./stage.ts";

const EXAMPLE = resolve(import.meta.dirname, "../../examples/payment");

let stage: Stage;
beforeEach(() => {
  stage = new Stage();
});
afterEach(() => stage.end());

it("a customer is charged once although the agent is killed after the charge and before its result", async () => {
  await stage.daemon();
  await (await stage.bus()).tasks.ensureRole({ role: "cashier", ackWaitMs: 1_000 });
  const first = await stage.agent(join(EXAMPLE, "cashier.ts"));
  const payments = join(stage.folder, "payments");
  const slow = ["--input", `folder=${payments}`, "--input", "slowMs=3000"];
  const run = stage.start(["run", join(EXAMPLE, "payment.yaml"), "--run", "r1", "--json", ...slow]);
  while (charges(payments).length === 0) await new Promise(setImmediate);
  process.kill(first.pid, "SIGKILL");
  await stage.agent(join(EXAMPLE, "cashier.ts"));
  const { code, stdout, stderr } = await run.exited;
  expect(code, stderr).toBe(0);
  const [charge, ...more] = charges(payments);
  expect(more).toEqual([]);
  const { id } = JSON.parse(readFileSync(join(payments, charge as string), "utf8")) as { id: string };
  expect(JSON.parse(stdout)).toMatchObject({ status: "done", outputs: { payment: id } });
}, 120_000);

function charges(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith(".json"));
  } catch {
    return []; // Not made yet.
  }
}
