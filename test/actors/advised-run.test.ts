/**
 * Would catch: a daemon that does not ask the model that it was given, or whose run does not pay for the answer.
 */
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { SwarmPlanning } from "../../src/actors/swarm-planning.ts";
import { ADVICE_REASON } from "../../src/planner/advised-planning.ts";
import type { ModelAnswer, ModelRequest } from "../../src/planner/plan-model.ts";
import { SwarmStage } from "./swarm-stage.ts";

async function runAdvised(goal: string, answer: string, tokens: number) {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const tasks = [{ name: "work", needs: [], gives: ["report"] }];
  const about = { id: "worker-1", pid: 1, host: "here", version: "1.0.0", startedAt: 0, concurrency: 1 };
  await stage.bus.presence.announce({ ...about, roles: [{ role: "worker", tasks }] }, () => ({
    running: 0,
    done: 0,
    failed: 0,
  }));
  const asked: ModelRequest[] = [];
  const propose = async (request: ModelRequest): Promise<ModelAnswer> => {
    asked.push(request);
    return { text: answer, usage: { tokens } };
  };
  const now = () => stage.clock.monotonic();
  const advisor = { model: { name: "tiny", propose }, timeoutMs: 1_000, now };
  const log = pino({ level: "silent" });
  await stage.daemon((bus) => new SwarmPlanning(bus, stage.clock, log, undefined, advisor));
  const body = { v: 1 as const, goals: goal, inputs: {}, budget: { tokens: 100 } };
  await stage.bus.log.append("r1", { kind: "submit", body }, { expectLast: 0 });
  await stage.clock.advance(0);
  return { stage, asked, fold: await stage.fold() };
}

describe("a run of a daemon with a language model", () => {
  it("does what the model made of the goal, and pays for it", async () => {
    const { stage, asked, fold } = await runAdvised("zebra crossing", '{"want":["report"]}', 40);
    expect(asked).toHaveLength(1);
    expect(asked[0]?.tokensLeft).toBe(100);
    expect(stage.inHand("worker")).toEqual(["work#1"]);
    expect(fold.spending.total.tokens).toBe(40);
    expect(fold.plan?.reasons[ADVICE_REASON.model]).toContain("tiny proposed report");
  });

  it("goes by the goal's own words when the model is wrong, and pays for that too", async () => {
    const { asked, fold } = await runAdvised("report", '{"want":["bitcoin"]}', 60);
    expect(asked).toHaveLength(2);
    expect(fold.plan?.reasons[ADVICE_REASON.model]).toContain("the budget of 100 tokens is spent");
    expect(fold.spending.total.tokens).toBe(120);
    expect(fold.status).toBe("paused");
  });
});
