/**
 * The environment of the run as a task sees it. Catches: a write that nobody judged, a key that no step declared,
 * a question that waits for ever, and changes out of order or twice.
 */
import { describe, expect, it } from "vitest";
import { gate, RUN, setStage, settle } from "./stage.ts";

describe("the run's environment inside a task", () => {
  it("is read by asking, and a declared key is set with the fold's verdict", async () => {
    const stage = await setStage({
      tasks: {
        work: {
          run: async (_inputs: unknown, ctx) => ({
            one: await ctx.env.get("city"),
            all: await ctx.env.get(),
            verdict: await ctx.env.set("count", 3, { ifRevision: 1 }),
          }),
        },
      },
      answer: (question) =>
        question.q === "env"
          ? { values: { city: "Lima" }, revision: 7 }
          : { applied: false, conflict: { revision: 2, writer: "other" } },
    });
    await stage.push({ outputs: ["count"] });
    expect(stage.results[0]?.outputs).toEqual({
      one: "Lima",
      all: { city: "Lima" },
      verdict: { applied: false, conflict: { revision: 2, writer: "other" } },
    });
    expect(stage.records.find(({ kind }) => kind === "env")).toMatchObject({
      body: { key: "count", value: 3, ifRevision: 1, step: "s1", n: 1, by: "agent-1" },
    });
  });

  it("refuses a key that the step does not declare, without writing", async () => {
    const stage = await setStage({
      tasks: { work: { run: async (_inputs: unknown, ctx) => void (await ctx.env.set("stray", 1)) } },
    });
    await stage.push({ outputs: ["count"] });
    expect(stage.results[0]?.error).toMatchObject({ code: "E_UNDECLARED_KEY", retryable: false });
    expect(stage.records.filter(({ kind }) => kind === "env")).toEqual([]);
  });

  it("says that no daemon answers instead of waiting for ever", async () => {
    const stage = await setStage({
      tasks: { work: { run: async (_inputs: unknown, ctx) => ({ v: await ctx.env.get("a") }) } },
    });
    await stage.push();
    await stage.clock.advance(60_000);
    expect(stage.results[0]?.error).toMatchObject({ code: "E_NO_DAEMON", retryable: true });
  });

  it("is watched in order, each revision once, until the task ends", async () => {
    const seen: number[] = [];
    const running = gate();
    const stage = await setStage({
      tasks: {
        work: {
          run: async (_inputs: unknown, ctx) => {
            ctx.env.watch(({ revision }) => void seen.push(revision));
            await running.promise;
          },
        },
      },
    });
    await stage.push();
    for (const revision of [1, 2, 2, 1, 3]) {
      stage.daemonBus.live.publishEnv({ run: RUN, key: "k", value: revision, revision, writer: {} });
    }
    await settle();
    running.open();
    await settle();
    stage.daemonBus.live.publishEnv({ run: RUN, key: "k", value: 4, revision: 4, writer: {} });
    await settle();
    expect(seen).toEqual([1, 2, 3]);
  });
});
