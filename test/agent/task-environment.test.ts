/**
 * The environment of the run as a task sees it. Catches: a write that nobody judged, a key that no step declared,
 * a question that waits for ever, and changes out of order or twice.
 */
import { describe, expect, it } from "vitest";
import type { EnvChangeMessage } from "../../src/bus/messages.ts";
import { gate, RUN, setStage, settle } from "./stage.ts";

describe("the run's environment inside a task", () => {
  it("is read by asking, and a declared key is set with the fold's verdict", async () => {
    const stage = await setStage({
      tasks: {
        work: {
          run: async (_inputs: unknown, ctx) => ({
            one: await ctx.env.get("city"),
            read: await ctx.env.read("city"),
            unset: await ctx.env.read("country"),
            all: await ctx.env.get(),
            verdict: await ctx.env.set("count", 3, { ifRevision: 1 }),
          }),
        },
      },
      answer: (question) =>
        question.q === "env"
          ? question.key === "country"
            ? { values: {}, revision: 0 }
            : { values: { city: "Lima" }, revision: 7 }
          : { applied: false, conflict: { revision: 2, writer: "other" } },
    });
    await stage.push({ outputs: ["count"] });
    expect(stage.results[0]?.outputs).toEqual({
      one: "Lima",
      read: { value: "Lima", revision: 7 },
      unset: { revision: 0 },
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

  it("is watched without a gap: what was lost on the way, and what nobody announced, is asked for", async () => {
    const { daemon, seen, running, stage } = await watched();
    daemon.change("a", 1);
    daemon.lose("b", 2);
    daemon.lose("c", 3);
    daemon.change("d", 4);
    await settle();
    expect(seen).toEqual(["a=1@11", "b=2@12", "c=3@13", "d=4@14"]);
    daemon.lose("e", 5);
    await stage.clock.advance(11_000);
    expect(seen.at(-1)).toBe("e=5@15");
    daemon.announce(2);
    daemon.change("f", 6);
    await settle();
    expect(seen).toHaveLength(6);
    running.open();
    await settle();
    daemon.change("g", 7);
    await settle();
    expect(seen.at(-1)).toBe("f=6@16");
  });

  it("is watched from a given revision, page by page", async () => {
    const { seen, running } = await watched({ after: 12 });
    expect(seen).toEqual([]);
    running.open();
    const later = await watched({ after: 12 }, 25);
    expect(later.seen).toHaveLength(23);
    expect(later.seen[0]).toBe("k=3@13");
    later.running.open();
  });

  it("is watched on when a listener throws, and while no daemon answers", async () => {
    const { daemon, seen, running, stage } = await watched({ throwsAt: 1 });
    daemon.change("a", 1);
    await settle();
    daemon.silent = true;
    daemon.lose("b", 2);
    daemon.change("c", 3);
    await stage.clock.advance(20_000);
    expect(seen).toEqual(["a=1@11"]);
    daemon.silent = false;
    await stage.clock.advance(20_000);
    expect(seen).toEqual(["a=1@11", "b=2@12", "c=3@13"]);
    running.open();
    await settle();
    expect(stage.results[0]?.status).toBe("done");
  });
});

/** A task that watches, and a daemon that has made so many changes before. */
async function watched(options: { after?: number; throwsAt?: number } = {}, before = 0) {
  const seen: string[] = [];
  const running = gate();
  const changes: EnvChangeMessage[] = [];
  const made = (key: string, value: unknown): EnvChangeMessage => {
    const number = changes.length + 1;
    const change = { run: RUN, key, value, revision: 10 + number, writer: {}, number };
    changes.push(change);
    return change;
  };
  for (let count = 1; count <= before; count++) made("k", count);
  const daemon = {
    silent: false,
    change: (key: string, value: unknown) => stage.daemonBus.live.publishEnv(made(key, value)),
    lose: (key: string, value: unknown) => void made(key, value),
    announce: (number: number) => {
      const change = changes[number - 1];
      if (change) stage.daemonBus.live.publishEnv(change);
    },
  };
  const stage = await setStage({
    tasks: {
      work: {
        run: async (_inputs: unknown, ctx) => {
          const listener = ({ key, value, revision }: { key: string; value: unknown; revision: number }) => {
            seen.push(`${key}=${value}@${revision}`);
            if (value === options.throwsAt) throw new Error("the listener's mistake");
          };
          ctx.env.watch(listener, options);
          await running.promise;
        },
      },
    },
    answer: (question) => {
      if (question.q !== "changes" || daemon.silent) return undefined;
      const { after, afterRevision } = question;
      const number = changes.length;
      if (after === undefined && afterRevision === undefined) return { number, changes: [] };
      const younger = changes.filter((one) =>
        after === undefined ? one.revision > (afterRevision ?? 0) : (one.number ?? 0) > after,
      );
      const page = younger.slice(0, 10);
      return { changes: page, number: page.at(-1)?.number ?? number, more: page.length < younger.length };
    },
  });
  await stage.push();
  await settle();
  return { daemon, seen, running, stage };
}
