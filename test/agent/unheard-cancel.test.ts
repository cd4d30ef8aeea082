/** A word to stop that was lost. Catches: an agent that keeps its slot for work that nobody waits for any more. */
import { expect, it } from "vitest";
import { setStage, settle } from "./stage.ts";

it("a task that goes on is asked about now and then, and stops once its dispatch is closed", async () => {
  let open = true;
  let reason: unknown;
  const stage = await setStage({
    tasks: {
      work: {
        run: (_inputs, ctx) =>
          new Promise((_resolve, reject) => {
            ctx.signal.addEventListener("abort", () => {
              reason = ctx.signal.reason;
              reject(ctx.signal.reason);
            });
          }),
      },
    },
    answer: ({ q }) => (q === "open" ? { open } : undefined),
  });
  await stage.push();
  await stage.clock.advance(120_000);
  expect(reason).toBeUndefined();
  expect(stage.questions.length).toBeGreaterThanOrEqual(3);
  open = false;
  await stage.clock.advance(45_000);
  await settle();
  expect(reason).toMatchObject({ why: "cancelled" });
  expect(stage.agent.stats().running).toBe(0);
});
