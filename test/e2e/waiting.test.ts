/**
 * People in the loop, with the real command, real processes and a real broker.
 * Catches: an answer or a deadline that is lost with the daemon, a second answer that counts, and a caller who
 * is not told who was first, by when, or what became of the work.
 */
import { afterEach, beforeEach, expect, it } from "vitest";
import type { LogRecord } from "../../src/bus/bus.ts";
import { Stage } from "./stage.ts";

let stage: Stage;
beforeEach(() => {
  stage = new Stage();
});
afterEach(() => stage.end());

const json = (result: { stdout: string }) => JSON.parse(result.stdout);
const ask = (more: object = {}) => ({
  id: "ask",
  agent: "human",
  task: "choose",
  outputs: ["choice"],
  ...more,
});

async function statusIs(status: string, run = "r1"): Promise<void> {
  await expect
    .poll(async () => json(await stage.run("show", run, "--json")).status, { timeout: 60_000, interval: 250 })
    .toBe(status);
}

it("a person's answer is heard though the daemon was killed while the run waited", async () => {
  const first = await stage.daemon();
  await stage.submit({ steps: [ask({ inputs: { of: [1, 2] } })], outputs: { choice: "${env.choice}" } });
  await statusIs("waiting");
  process.kill(first.pid, "SIGKILL");
  await first.cli.exited;
  await stage.daemon();
  const shown = json(await stage.run("show", "r1", "--json"));
  expect(shown.steps.ask.waiting).toMatchObject({ for: "human", task: "choose", inputs: { of: [1, 2] } });
  const answered = await stage.run("approve", "r1", "ask", "2", "--json");
  expect([answered.code, json(answered)]).toEqual([0, { run: "r1", ok: true }]);
  expect((await stage.run("watch", "r1")).code).toBe(0);
  expect(json(await stage.run("show", "r1", "--json")).outputs).toEqual({ choice: 2 });
  const late = await stage.run("reject", "r1", "ask", '"no"', "--json");
  expect([late.code, json(late).ok]).toEqual([1, false]);
});

it("the second answer is told who was first, and a deadline holds over a kill", async () => {
  const first = await stage.daemon();
  await stage.submit({
    steps: [
      ask(),
      ask({ id: "late", outputs: ["late"], deadline: { after: "9s", answer: "approve", value: "nobody" } }),
      { id: "sig", agent: "signal", task: "go", outputs: ["went"] },
    ],
  });
  await statusIs("waiting");
  expect((await stage.run("approve", "r1", "ask", "1")).code).toBe(0);
  const second = await stage.run("approve", "r1", "ask", "2");
  expect(second.code).toBe(1);
  expect(second.stderr).toMatch(/step ask was approved by \S+ with 1 before/);
  expect((await stage.run("signal", "r1", "gone")).stderr).toContain("it waits for go");
  expect((await stage.run("signal", "r1", "go", '{"at": 7}')).code).toBe(0);
  process.kill(first.pid, "SIGKILL");
  await first.cli.exited;
  await stage.daemon();
  expect((await stage.run("watch", "r1")).code).toBe(0);
  const { environment } = json(await stage.run("show", "r1", "--json"));
  expect(environment).toEqual({ choice: 1, late: "nobody", went: { at: 7 } });
});

it("a deadline is printed in the zone of the terminal, as all other times are", async () => {
  await stage.daemon();
  await stage.submit({ steps: [ask({ deadline: { after: "1h", answer: "reject" } })] });
  await statusIs("waiting");
  const { deadline } = json(await stage.run("show", "r1", "--json")).steps.ask.waiting;
  stage.env.TZ = "Asia/Kolkata";
  const line = await stage.start(["show", "r1"]).waitForLine((text) => text.includes("until"));
  const [, printed = ""] = /until (\S+\+05:30) /.exec(line) ?? [];
  expect(Date.parse(printed), line).toBe(Date.parse(deadline));
});

it("a cancel says what became of the work", async () => {
  await stage.daemon();
  await stage.submit({ steps: [{ id: "a", agent: "absent", task: "t" }, ask()] });
  // Ready is not enough: until its task is queued, there is nothing to be removed.
  const isQueued = (record: LogRecord) =>
    record.kind === "observed" && record.body.dispatched.some(({ step }) => step === "a");
  await expect.poll(async () => (await stage.log()).some(isQueued), { timeout: 30_000 }).toBe(true);
  const cancelled = await stage.run("cancel", "r1", "--json");
  expect([cancelled.code, json(cancelled)]).toEqual([
    0,
    { run: "r1", ok: true, settled: true, steps: [{ step: "a", outcome: "removed" }] },
  ]);
});
