/**
 * Would catch: a planned run that goes on with a plan which the facts have made wrong, that gives up although
 * there is another way, that changes its plan for next to nothing, or that two daemons would revise differently.
 */
import { describe, expect, it } from "vitest";
import type { Capability } from "../../src/workflow/capability.ts";
import { SwarmStage } from "./swarm-stage.ts";

type Task = Partial<Capability> & { name: string };
type Roles = Record<string, Task[]>;

async function stageWith(
  roles: Roles,
): Promise<{ stage: SwarmStage; leave: (role: string) => Promise<void> }> {
  const stage = new SwarmStage();
  const leaving = new Map<string, () => Promise<void>>();
  for (const [role, tasks] of Object.entries(roles)) {
    await stage.serve(role);
    const card = { role, tasks: tasks.map((task) => ({ needs: [], gives: [], ...task })) };
    const about = { id: `${role}-1`, pid: 1, host: "here", version: "1.0.0", startedAt: 0, concurrency: 1 };
    const { withdraw } = await stage.bus.presence.announce({ ...about, roles: [card] }, () => ({
      running: 0,
      done: 0,
      failed: 0,
    }));
    leaving.set(role, withdraw);
  }
  await stage.daemon();
  return { stage, leave: async (role) => leaving.get(role)?.() };
}

async function want(
  stage: SwarmStage,
  keys: string[],
  environment: Record<string, unknown> = {},
): Promise<void> {
  const body = { v: 1 as const, want: keys, inputs: {}, environment };
  await stage.bus.log.append("r1", { kind: "submit", body }, { expectLast: 0 });
  await stage.clock.advance(0);
}

const CLEANING: Roles = {
  explorer: [{ name: "profile", gives: ["profile"] }],
  cleaner: [{ name: "clean", needs: ["profile"], gives: ["table"], when: "env.profile.nulls > 0" }],
  copier: [{ name: "copy", needs: ["profile"], gives: ["table"], cost: 5 }],
  reporter: [{ name: "report", needs: ["table"], gives: ["report"] }],
};

describe("facts that arrive", () => {
  it("change the rest of the plan when a guard that was assumed to hold does not", async () => {
    const { stage } = await stageWith(CLEANING);
    await want(stage, ["report"]);
    expect([...((await stage.fold()).graph?.steps() ?? [])].map(({ id }) => id)).toEqual([
      "profile",
      "clean",
      "report",
    ]);
    await stage.answer("explorer", { outputs: { profile: { nulls: 0 } } });
    const fold = await stage.fold();
    expect(fold.revisions).toMatchObject([{ number: 1, added: ["copy"], dropped: ["clean"], cost: 6 }]);
    expect(fold.revisions[0]?.reason).toContain("`env.profile.nulls > 0` is false");
    expect(stage.inHand("copier")).toEqual(["copy#1"]);
    expect(stage.inHand("cleaner")).toEqual([]);
    await stage.answer("copier", { outputs: { table: 1 } });
    await stage.answer("reporter", { outputs: { report: "r" } });
    expect((await stage.fold()).status).toBe("done");
  });

  it("that bear out the plan let it stand, with that written in the log", async () => {
    const { stage } = await stageWith(CLEANING);
    await want(stage, ["report"]);
    await stage.answer("explorer", { outputs: { profile: { nulls: 3 } } });
    expect((await stage.fold()).revisions).toEqual([]);
    expect(stage.inHand("cleaner")).toEqual(["clean#1"]);
    const decisions: string[] = [];
    for await (const record of stage.bus.log.read("r1")) {
      if (record.kind === "decision") decisions.push(record.body.type);
    }
    expect(decisions).toEqual(["claim", "plan", "revise"]);
  });

  it("bring back nothing that the goal rules out", async () => {
    const { stage } = await stageWith({
      explorer: [{ name: "profile", gives: ["profile"] }],
      cleaner: [{ name: "clean", needs: ["profile"], gives: ["table"], when: "env.profile.nulls > 0" }],
      guesser: [{ name: "guess", needs: ["profile"], gives: ["table"], cost: 2 }],
      copier: [{ name: "copy", needs: ["profile"], gives: ["table"], cost: 5 }],
      reporter: [{ name: "report", needs: ["table"], gives: ["report"] }],
    });
    const body = { v: 1 as const, goals: "a report without guess", inputs: {}, environment: {} };
    await stage.bus.log.append("r1", { kind: "submit", body }, { expectLast: 0 });
    await stage.clock.advance(0);
    await stage.answer("explorer", { outputs: { profile: { nulls: 0 } } });
    expect((await stage.fold()).revisions).toMatchObject([{ added: ["copy"], dropped: ["clean"], cost: 6 }]);
  });

  it("do not change it for a saving within the margin", async () => {
    const { stage } = await stageWith({
      counter: [{ name: "count", gives: ["rows"] }],
      exact: [{ name: "exact", needs: ["rows"], gives: ["x"], cost: "env.rows / 10", estimate: 5 }],
      quick: [{ name: "quick", needs: ["rows"], gives: ["x"], cost: 9.5 }],
    });
    await want(stage, ["x"]);
    await stage.answer("counter", { outputs: { rows: 100 } });
    expect((await stage.fold()).revisions).toEqual([]);
    expect(stage.inHand("exact")).toEqual(["exact#1"]);
  });

  it("change it for a saving beyond the margin", async () => {
    const { stage } = await stageWith({
      counter: [{ name: "count", gives: ["rows"] }],
      exact: [{ name: "exact", needs: ["rows"], gives: ["x"], cost: "env.rows / 10", estimate: 5 }],
      quick: [{ name: "quick", needs: ["rows"], gives: ["x"], cost: 9.5 }],
    });
    await want(stage, ["x"]);
    await stage.answer("counter", { outputs: { rows: 1000 } });
    expect((await stage.fold()).revisions).toMatchObject([{ costBefore: 100, cost: 9.5 }]);
    expect(stage.inHand("quick")).toEqual(["quick#1"]);
  });

  it("that two daemons weigh are weighed once", async () => {
    const { stage } = await stageWith(CLEANING);
    await want(stage, ["report"]);
    const [first] = stage.daemons;
    await first?.bus.close();
    await stage.answer("explorer", { outputs: { profile: { nulls: 0 } } });
    expect((await stage.fold()).weighing.size).toBe(1);
    await stage.daemon();
    await stage.clock.advance(30_000);
    expect((await stage.fold()).revisions).toHaveLength(1);
    expect(stage.inHand("copier")).toEqual(["copy#1"]);
  });
});

describe("a key that a person sets", () => {
  const set = async (stage: SwarmStage, key: string, value: unknown): Promise<void> => {
    await stage.bus.log.append("r1", { kind: "env", body: { v: 1, key, value, by: "ada" } });
  };
  const ROUTES: Roles = {
    slow: [{ name: "wait", gives: ["go"] }],
    road: [{ name: "drive", needs: ["go"], gives: ["there"], cost: "env.traffic" }],
    rail: [{ name: "ride", needs: ["go"], gives: ["there"], cost: 5 }],
  };

  it("makes the rest of the plan be weighed, and changed where that pays", async () => {
    const { stage } = await stageWith(ROUTES);
    await want(stage, ["there"], { traffic: 1 });
    await set(stage, "traffic", 50);
    await stage.clock.advance(0);
    const fold = await stage.fold();
    expect(fold.revisions).toMatchObject([{ added: ["ride"], dropped: ["drive"], costBefore: 50, cost: 5 }]);
    expect(fold.revisions[0]?.reason).toContain("after what was set from outside");
    await stage.answer("slow", { outputs: { go: 1 } });
    await stage.answer("rail", { outputs: { there: 1 } });
    expect((await stage.fold()).status).toBe("done");
  });

  it("and that is all that was wanted lets what is running end, and then the run", async () => {
    const { stage } = await stageWith(ROUTES);
    await want(stage, ["there"], { traffic: 1 });
    await set(stage, "there", "already");
    await stage.clock.advance(5_000);
    expect((await stage.fold()).revisions).toMatchObject([{ added: [], dropped: ["drive"] }]);
    await stage.answer("slow", { outputs: { go: 1 } });
    await stage.clock.advance(5_000);
    const { status, environment } = await stage.fold();
    expect([status, environment.values.there]).toEqual(["done", "already"]);
  });

  it("and that makes a step needless which somebody wanted stopped holds no successor up", async () => {
    const { stage } = await stageWith(ROUTES);
    await want(stage, ["there"], { traffic: 1 });
    const cancel = { v: 1, verb: "cancel", step: "drive", by: "ada" } as const;
    await stage.bus.log.append("r1", { kind: "control", body: cancel });
    await set(stage, "traffic", 50);
    await stage.clock.advance(0);
    expect((await stage.fold()).revisions).toMatchObject([{ added: ["ride"], dropped: ["drive"] }]);
    await stage.daemons[0]?.bus.close();
    await stage.daemon();
    await stage.clock.advance(30_000);
    await stage.answer("slow", { outputs: { go: 1 } });
    await stage.answer("rail", { outputs: { there: 1 } });
    expect((await stage.fold()).status).toBe("done");
  });

  it("and that an open step would have given makes the step needless", async () => {
    const { stage } = await stageWith({
      ...ROUTES,
      host: [{ name: "dine", needs: ["there"], gives: ["dinner"] }],
    });
    await want(stage, ["dinner"], { traffic: 1 });
    await set(stage, "there", "already");
    await stage.clock.advance(0);
    expect((await stage.fold()).revisions).toMatchObject([{ added: [], dropped: ["wait", "drive"] }]);
    const { task } = await stage.answer("host", { outputs: { dinner: "at last" } });
    expect(task.inputs).toEqual({ there: "already" });
    const fold = await stage.fold();
    expect(fold.status).toBe("done");
    expect(fold.outputs).toEqual({ dinner: "at last" });
  });

  it("back and forth makes no more changes than are allowed, and each is weighed", async () => {
    const { stage } = await stageWith(ROUTES);
    await want(stage, ["there"], { traffic: 1 });
    for (let round = 0; round < 20; round++) {
      await set(stage, "traffic", round % 2 === 0 ? 50 : 1);
      await stage.clock.advance(0);
    }
    const fold = await stage.fold();
    expect(fold.revisions).toHaveLength(8);
    expect(fold.weighing.size).toBe(0);
  });

  it("in a flurry counts with its last value", async () => {
    const { stage } = await stageWith(ROUTES);
    await want(stage, ["there"], { traffic: 1 });
    for (let round = 0; round <= 20; round++) await set(stage, "traffic", round % 2 === 0 ? 50 : 1);
    await stage.clock.advance(1_000);
    const fold = await stage.fold();
    expect([...(fold.graph?.steps() ?? [])].map(({ id }) => id)).toEqual(["wait", "ride"]);
    expect(fold.weighing.size).toBe(0);
  });

  it("is weighed by the daemon that took over", async () => {
    const { stage } = await stageWith(ROUTES);
    await want(stage, ["there"], { traffic: 1 });
    await stage.daemons[0]?.bus.close();
    await set(stage, "traffic", 50);
    await stage.daemon();
    await stage.clock.advance(30_000);
    expect((await stage.fold()).revisions).toMatchObject([{ added: ["ride"] }]);
  });
});

describe("a step that fails", () => {
  const error = { name: "Error", message: "the disk is full", retryable: false };

  it("is replaced by a path of several tasks", async () => {
    const { stage } = await stageWith({
      direct: [{ name: "direct", gives: ["x"] }],
      first: [{ name: "first", gives: ["half"] }],
      second: [{ name: "second", needs: ["half"], gives: ["x"] }],
      end: [{ name: "end", needs: ["x"], gives: ["y"] }],
    });
    await want(stage, ["y"]);
    await stage.answer("direct", { status: "failed", error });
    const fold = await stage.fold();
    expect(fold.revisions).toMatchObject([{ added: ["first", "second"], dropped: ["direct"] }]);
    expect(fold.revisions[0]?.reason).toContain("the disk is full");
    await stage.answer("first", { outputs: { half: 1 } });
    await stage.answer("second", { outputs: { x: 1 } });
    await stage.answer("end", { outputs: { y: 1 } });
    const ended = await stage.fold();
    expect(ended.status).toBe("done");
    expect(ended.retired.has("direct")).toBe(true);
    expect(ended.counts.failed).toBe(0);
  });

  it("is not taken up again by a later revision", async () => {
    const { stage } = await stageWith({
      a: [{ name: "a", gives: ["x"] }],
      b: [{ name: "b", gives: ["x"], cost: 2 }],
    });
    await want(stage, ["x"]);
    await stage.answer("a", { status: "failed", error });
    await stage.answer("b", { status: "failed", error });
    const fold = await stage.fold();
    expect(fold.status).toBe("failed");
    expect(fold.error).toMatchObject({ step: "b", message: "the disk is full" });
  });

  it("of a workflow that somebody wrote is replaced by a path too, and who waited for it goes on", async () => {
    const { stage } = await stageWith({
      direct: [{ name: "direct", gives: ["x"] }],
      first: [{ name: "first", gives: ["half"] }],
      second: [{ name: "second", needs: ["half"], gives: ["x"] }],
      end: [{ name: "end" }],
    });
    await stage.submit({
      steps: [
        { id: "make", agent: "direct", task: "direct", outputs: ["x"], onFailure: "recover" },
        { id: "end", agent: "end", task: "end", dependsOn: ["make"], inputs: { x: "${env.x}" } },
      ],
    });
    await stage.answer("direct", { status: "failed", error });
    expect((await stage.fold()).revisions).toMatchObject([
      { added: ["make-first", "make-second"], dropped: ["make"] },
    ]);
    await stage.answer("first", { outputs: { half: 1 } });
    await stage.answer("second", { outputs: { x: 7 } });
    const { task } = await stage.answer("end");
    expect(task.inputs).toEqual({ x: 7 });
    expect((await stage.fold()).status).toBe("done");
  });

  it("goes on with its fallback when there is no other way", async () => {
    const { stage } = await stageWith({
      rater: [{ name: "rate", gives: ["rate"], fallback: { rate: 1.1 } }],
      seller: [{ name: "price", needs: ["rate"], gives: ["price"] }],
    });
    await want(stage, ["price"]);
    await stage.answer("rater", { status: "failed", error });
    expect((await stage.fold()).environment.values.rate).toBe(1.1);
    const delivery = await stage.answer("seller", { outputs: { price: 2 } });
    expect(delivery.task.inputs).toEqual({ rate: 1.1 });
    expect((await stage.fold()).status).toBe("done");
  });
});

describe("a role that goes away", () => {
  const roles: Roles = {
    best: [{ name: "best", gives: ["x"] }],
    other: [{ name: "other", gives: ["x"], cost: 3 }],
  };

  it("is planned round, and its task is taken back", async () => {
    const { stage, leave } = await stageWith(roles);
    await want(stage, ["x"]);
    await leave("best");
    await stage.clock.advance(60_000);
    const fold = await stage.fold();
    expect(fold.revisions).toMatchObject([{ added: ["other"], dropped: ["best"] }]);
    expect(fold.revisions[0]?.reason).toContain("nobody served best");
    expect(stage.inHand("other")).toEqual(["other#1"]);
    expect(fold.step("best")).toMatchObject({ state: "failed", context: { outcome: "cancelled" } });
    // Its agent was only asleep: what it reports now comes late and changes nothing.
    await stage.answer("best", { outputs: { x: "late" } });
    await stage.answer("other", { outputs: { x: "good" } });
    const ended = await stage.fold();
    expect(ended.status).toBe("done");
    expect(ended.environment.values.x).toBe("good");
  });

  it("for a moment changes nothing", async () => {
    const { stage, leave } = await stageWith(roles);
    await want(stage, ["x"]);
    await stage.clock.advance(30_000);
    await leave("best");
    await stage.clock.advance(4_000);
    expect((await stage.fold()).revisions).toEqual([]);
  });

  it("without another way is waited for, and in the end the step says so", async () => {
    const { stage, leave } = await stageWith({ only: [{ name: "only", gives: ["x"] }] });
    await want(stage, ["x"]);
    await leave("only");
    await stage.clock.advance(120_000);
    expect((await stage.fold()).status).toBe("running");
    await stage.clock.advance(300_000);
    expect((await stage.fold()).error).toMatchObject({ code: "E_NO_AGENT", step: "only" });
  });
});
