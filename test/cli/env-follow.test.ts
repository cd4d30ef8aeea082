/**
 * `env --follow` with the real command on a real broker. Catches: an update that is not printed, printed twice or
 * out of order, also over a daemon that was killed; and a command that does not end with its run.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { Workspace } from "./workspace.ts";

let work: Workspace;
beforeAll(async () => {
  work = await Workspace.make();
});
afterAll(() => work.remove());

it("prints every update once, in order, and ends with the run", { timeout: 300_000 }, async () => {
  const file = await work.write("ask.yaml", {
    steps: [{ id: "ask", agent: "human", task: "say", outputs: ["said"] }],
  });
  await work.up();
  await work.ask(["run", file, "--run", "r1", "--detach"]);
  for (const value of [1, 2]) await work.ask(["env", "r1", "set", "count", String(value)]);
  const watch = work.start(["env", "r1", "--follow", "--json"]);
  await watch.waitForLine((line) => line.includes('"count"'));
  for (const value of [3, 4]) await work.ask(["env", "r1", "set", "count", String(value)]);
  await watch.waitForLine((line) => line.includes('"value":4'));
  await work.ask(["approve", "r1", "ask", '"yes"']);
  const { code, stdout } = await watch.exited;
  const changes = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(changes.map(({ key, value, current }) => [key, value, current])).toEqual([
    ["count", 2, true],
    ["count", 3, false],
    ["count", 4, false],
    ["said", "yes", false],
  ]);
  expect(code).toBe(0);
  const again = await work.ask(["env", "r1", "count", "--follow", "--after", String(changes[0].revision)]);
  expect(again.stdout).toMatch(/^\d+ {2}count = 3 .*\n\d+ {2}count = 4 .*\n$/);
});
