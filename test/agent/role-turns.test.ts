/**
 * The roles of one process. Catches: a role that waits until another one with more work is done, tasks of a role that
 * change their order, and a task that a draining process keeps.
 */
import { describe, expect, it } from "vitest";
import type { AgentDefinition } from "../../src/agent/define.ts";
import { RoleTurns } from "../../src/agent/role-turns.ts";
import { setStage, settle } from "./stage.ts";

/** Agents whose tasks run until told, and the order in which they began. */
function crew(roles: readonly string[]) {
  const began: string[] = [];
  const running: (() => void)[] = [];
  const agents = roles.map((role): AgentDefinition => {
    const run = async () => {
      began.push(role);
      await new Promise<void>((resolve) => running.push(resolve));
      return {};
    };
    return { role, tasks: { work: { run } } };
  });
  const endOne = async () => {
    running.shift()?.();
    await settle();
  };
  return { agents, began, endOne };
}

describe("a process that serves several roles", () => {
  it("gives a role its turn as soon as a slot is free, however much another one has", async () => {
    const { agents, began, endOne } = crew(["busy", "rare"]);
    const stage = await setStage({ agents, serve: { concurrency: 2 } });
    for (let at = 0; at < 20; at++) await stage.push({ role: "busy", step: `busy${at}` });
    await stage.push({ role: "rare", step: "rare" });
    await endOne();
    expect(began).toEqual(["busy", "busy", "rare"]);
  });

  it("lets all roles that have work take turns", async () => {
    const roles = ["a", "b", "c"];
    const { agents, began, endOne } = crew(roles);
    const stage = await setStage({ agents, serve: { concurrency: 1 } });
    for (const role of roles) for (let at = 0; at < 3; at++) await stage.push({ role, step: `${role}${at}` });
    for (let at = 0; at < 9; at++) await endOne();
    for (const turn of [0, 3, 6]) expect(began.slice(turn, turn + 3).sort()).toEqual(roles);
  });
});

describe("turns", () => {
  it("begin with the role whose last task began longest ago, and keep the order of its tasks", () => {
    const turns = new RoleTurns<string>(["a", "b", "c"]);
    turns.began("a");
    for (const task of ["a1", "a2"]) turns.add("a", task);
    for (const task of ["b1", "b2"]) turns.add("b", task);
    const taken: (string | undefined)[] = [];
    while (turns.size > 0) {
      const task = turns.take();
      taken.push(task);
      turns.began(task?.[0] ?? "");
    }
    expect(taken).toEqual(["b1", "a1", "b2", "a2"]);
    expect([...turns.roles]).toEqual(["c", "b", "a"]);
  });

  it("hand out nothing more once all was taken", () => {
    const turns = new RoleTurns<string>(["a", "b"]);
    turns.add("a", "a1");
    turns.add("b", "b1");
    expect(turns.takeAll()).toEqual(["a1", "b1"]);
    expect([turns.size, turns.take()]).toEqual([0, undefined]);
  });
});
