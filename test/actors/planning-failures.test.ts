/**
 * A planner that throws. Would catch: a run that is handed from daemon to daemon for ever because of it, one whose
 * tries begin anew with each daemon, one that is given up for a planner which fails once, and a run that is lost
 * although it could go on as it was planned.
 */
import { pino } from "pino";
import { expect, it } from "vitest";
import type { RunPlanning } from "../../src/actors/run-planning.ts";
import { SwarmPlanning } from "../../src/actors/swarm-planning.ts";
import type { Bus } from "../../src/bus/bus.ts";
import type { Capability } from "../../src/workflow/capability.ts";
import { SwarmStage } from "./swarm-stage.ts";

const TRIES = 10;
const LONG_MS = 60_000;
const ACK_WAIT_MS = 10_000;
const log = pino({ level: "silent" });

const ROLES: Record<string, (Partial<Capability> & { name: string })[]> = {
  explorer: [{ name: "profile", gives: ["profile"] }],
  cleaner: [{ name: "clean", needs: ["profile"], gives: ["table"], when: "env.profile.nulls > 0" }],
  reporter: [{ name: "report", needs: ["table"], gives: ["report"] }],
};

class Stage extends SwarmStage {
  readonly calls: string[] = [];

  /** @param fails which call of a kind throws, from 1 */
  planning(
    fails: (kind: keyof RunPlanning, call: number) => boolean,
    calls = this.calls,
  ): (bus: Bus) => RunPlanning {
    return (bus) => {
      const real = new SwarmPlanning(bus, this.clock, log);
      const called = (kind: keyof RunPlanning): void => {
        calls.push(kind);
        const call = calls.filter((one) => one === kind).length;
        if (fails(kind, call)) throw new TypeError(`${kind} is undone`);
      };
      return {
        plan: async (...given) => {
          called("plan");
          return real.plan(...given);
        },
        recover: async (...given) => {
          called("recover");
          return real.recover(...given);
        },
        // Thrown only when the choice is made, in the turn of the decision.
        weigh: async (...given) => {
          const choose = await real.weigh(...given);
          return () => {
            called("weigh");
            return choose();
          };
        },
        replace: async (...given) => {
          called("replace");
          return real.replace(...given);
        },
      };
    };
  }

  async begin(): Promise<void> {
    for (const [role, tasks] of Object.entries(ROLES)) await this.join(role, tasks);
  }

  async want(): Promise<void> {
    const body = { v: 1 as const, want: ["report"], inputs: {} };
    await this.bus.log.append("r1", { kind: "submit", body }, { expectLast: 0 });
    await this.clock.advance(0);
  }

  async claims(): Promise<number> {
    let claims = 0;
    for await (const record of this.bus.log.read("r1"))
      if (record.kind === "decision" && record.body.type === "claim") claims += 1;
    return claims;
  }
}

it("a run whose planning always throws fails after ten tries, in the hands of one daemon", async () => {
  const stage = new Stage();
  await stage.begin();
  await stage.daemon(stage.planning(() => true));
  await stage.want();
  await stage.clock.advance(LONG_MS);
  const { status, error } = await stage.fold();
  expect(status).toBe("failed");
  expect(error).toMatchObject({ code: "E_PLANNING" });
  expect(error?.message).toContain("planning failed 10 times, the last time with: plan is undone");
  expect(stage.calls).toHaveLength(TRIES);
  expect(await stage.claims()).toBe(1);
});

it("daemons that die over it do not begin the tries anew", async () => {
  const stage = new Stage();
  await stage.begin();
  await stage.daemon(stage.planning(() => true));
  await stage.want();
  const ofTheLast: string[] = [];
  for (const calls of [[], [], ofTheLast]) {
    await stage.daemons.at(-1)?.bus.close();
    await stage.daemon(stage.planning(() => true, calls));
    await stage.clock.advance(ACK_WAIT_MS + 1_000);
  }
  await stage.clock.advance(LONG_MS);
  const { status, epoch } = await stage.fold();
  expect([status, epoch]).toEqual(["failed", 4]);
  expect(ofTheLast).toHaveLength(TRIES - 3);
});

it("a planner that throws now and then plans all the same", async () => {
  const stage = new Stage();
  await stage.begin();
  await stage.daemon(stage.planning((_kind, call) => call < TRIES));
  await stage.want();
  await stage.clock.advance(LONG_MS);
  expect((await stage.fold()).status).toBe("running");
  expect(stage.inHand("explorer")).toEqual(["profile#1"]);
  expect(await stage.claims()).toBe(1);
});

it("a plan that cannot be weighed stands, and the run ends by it", async () => {
  const stage = new Stage();
  await stage.begin();
  await stage.daemon(stage.planning((kind) => kind === "weigh"));
  await stage.want();
  await stage.answer("explorer", { outputs: { profile: { nulls: 1 } } });
  await stage.clock.advance(LONG_MS);
  await stage.answer("cleaner", { outputs: { table: 1 } });
  await stage.answer("reporter", { outputs: { report: "r" } });
  expect((await stage.fold()).status).toBe("done");
  expect(stage.calls.filter((kind) => kind === "weigh")).toHaveLength(TRIES);
  expect(await stage.claims()).toBe(1);
});

it("a step for which no other way can be looked for fails with its own error", async () => {
  const stage = new Stage();
  await stage.begin();
  await stage.daemon(stage.planning((kind) => kind === "recover"));
  await stage.want();
  const error = { name: "Error", message: "the file is gone", retryable: false };
  await stage.answer("explorer", { status: "failed", error });
  await stage.clock.advance(LONG_MS);
  const fold = await stage.fold();
  expect(fold.status).toBe("failed");
  expect(fold.error?.message).toContain("the file is gone");
  expect(stage.calls.filter((kind) => kind === "recover")).toHaveLength(TRIES);
  expect(await stage.claims()).toBe(1);
});

it("a plan too large to be written fails the run", async () => {
  const stage = new Stage();
  await stage.begin();
  const fields = { cost: 1, optimal: true, explored: 1, reasons: {} };
  const workflow = { name: "x".repeat(2_000_000), steps: [] };
  await stage.daemon((bus) => ({
    ...stage.planning(() => false)(bus),
    plan: async () => ({ type: "plan", workflow, ...fields }),
  }));
  await stage.want();
  await stage.clock.advance(LONG_MS);
  const { status, error } = await stage.fold();
  expect([status, error?.code]).toEqual(["failed", "E_PLANNING"]);
  expect(await stage.claims()).toBe(1);
});
