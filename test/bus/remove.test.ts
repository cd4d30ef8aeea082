/**
 * Removing what lies in a work queue.
 * Catches: a purge by subject there. While messages come and go it lets a consumer forget, now and then, what others
 * have in hand: their tasks stay stored and are delivered to nobody once whoever held them is dead.
 */
import { describe, expect, it } from "vitest";
import { ApiRefusal } from "../../src/bus/nats/failure.ts";
import type { NatsLink } from "../../src/bus/nats/link.ts";
import { NatsRoles } from "../../src/bus/nats/roles.ts";
import { NatsRuns } from "../../src/bus/nats/runs.ts";
import { NatsTasks } from "../../src/bus/nats/tasks.ts";
import { subjectsOf } from "../../src/bus/subjects.ts";

/** A current server that has these messages, and takes them out one by one. */
function server(stored: Map<number, string>) {
  const asked: string[] = [];
  const pattern = (filter: string) =>
    new RegExp(`^${filter.replaceAll(".", "\\.").replaceAll("*", "[^.]+").replace(">", ".+")}$`);
  const link = {
    serverVersion: [2, 15, 1],
    subjects: subjectsOf("main"),
    guard: (_what: string, call: () => Promise<unknown>) => call(),
    storedMessage: async (_stream: string, { next_by_subj, seq }: { next_by_subj: string; seq: number }) => {
      const [found] = [...stored].filter(([at, on]) => at >= seq && pattern(next_by_subj).test(on));
      return found && { seq: found[0], subject: found[1] };
    },
    api: async (subject: string, body: { seq: number }) => {
      asked.push(subject);
      if (!stored.delete(body.seq)) throw new ApiRefusal(subject, { code: 404, err_code: 10043 });
      return {};
    },
  } as unknown as NatsLink;
  return { link, asked };
}

describe("out of a work queue", () => {
  it("tasks are deleted one by one, and only those that are meant", async () => {
    const subjects = subjectsOf("main");
    const task = (run: string, step: string) => subjects.task({ run, step, n: 1, role: "red" });
    const stored = new Map([task("r1", "a"), task("r2", "a"), task("r1", "b")].map((on, at) => [at + 1, on]));
    const { link, asked } = server(stored);
    const tasks = new NatsTasks(link, new NatsRoles(link));
    expect(await tasks.remove({ run: "r1", step: "a", n: 1, role: "red" })).toBe(true);
    expect([...stored.keys()]).toEqual([2, 3]);
    expect(await tasks.removeRun("r1")).toBe(1);
    expect([...stored.keys()]).toEqual([2]);
    expect(new Set(asked)).toEqual(new Set([`STREAM.MSG.DELETE.${subjects.tasksStream}`]));
  });

  it("so are runs and their timers", async () => {
    const subjects = subjectsOf("main");
    const stored = new Map([
      [1, subjects.orchestrate("r1")],
      [2, subjects.orchestrate("r2")],
      [3, subjects.timer("r1")],
    ]);
    const { link, asked } = server(stored);
    const runs = new NatsRuns(link);
    expect(await runs.remove("r1")).toBe(true);
    await runs.clearTimer("r1");
    expect([...stored.keys()]).toEqual([2]);
    expect(new Set(asked)).toEqual(new Set([`STREAM.MSG.DELETE.${subjects.orchestrateStream}`]));
  });
});
