/**
 * One budget over nested runs at the same time, on a real server, with daemons and agents that are killed.
 * Catches: dispatches beyond the budget after a failover, in whichever run; nested runs that wait for ever for a run
 * above whose daemon died; a run that cannot go on when it is given more, or whose nested runs then begin anew.
 */
import { existsSync } from "node:fs";
import { afterEach, expect, it } from "vitest";
import { Stage } from "./stage.ts";

const ALLOWED = 14;
const ITEMS = 4;
const LENGTH = 3;

const chain = {
  steps: Array.from({ length: LENGTH }, (_, at) => ({
    id: `x${at}`,
    agent: "counter",
    task: "count",
    inputs: { ms: 300 },
    dependsOn: at === 0 ? [] : [`x${at - 1}`],
  })),
};
const tree = {
  budget: { dispatches: ALLOWED },
  steps: [
    {
      id: "sub",
      agent: "orchestrator",
      task: "run",
      forEach: Array.from({ length: ITEMS }, (_, at) => at),
      inputs: { workflow: chain },
      retry: { maxAttempts: 1 },
    },
  ],
};

let stage: Stage | undefined;
afterEach(async () => {
  await stage?.end();
  stage = undefined;
});

it("a tree of runs keeps its budget exactly, although daemon and agent are killed in the middle", async () => {
  const swarm = new Stage();
  stage = swarm;
  const daemon = await swarm.daemon();
  await swarm.shortAckWait();
  const [first] = [await swarm.agent(undefined, "--concurrency", "2"), await swarm.agent()];
  await swarm.submit(tree);
  await expect.poll(() => begun(swarm), { timeout: 60_000 }).toBeGreaterThan(1);
  process.kill(first.pid, "SIGKILL");
  process.kill(daemon.pid, "SIGKILL");
  await swarm.daemon();
  await expect.poll(() => statusOf(swarm), { timeout: 120_000, interval: 1_000 }).toBe("paused");
  const waiting = async () =>
    (await Promise.all((await nestedRuns(swarm)).map((run) => viewOf(swarm, run)))).filter(
      ({ status }) => status === "paused",
    );
  // What was out when the limit was reached may end: by then every nested run that is not done waits.
  await expect
    .poll(async () => (await given(swarm)).size, { timeout: 60_000, interval: 1_000 })
    .toBe(ALLOWED - ITEMS);
  await expect
    .poll(async () => (await waiting()).length, { timeout: 60_000, interval: 1_000 })
    .toBeGreaterThan(0);
  const view = await viewOf(swarm, "r1");
  expect(view.spent.dispatches).toBe(ALLOWED);
  for (const { run, pause } of await waiting()) {
    expect(pause).toMatchObject({ code: "E_BUDGET", above: "r1" });
    expect(view.pause?.below).toContain(run);
  }
  const words = (await swarm.run("show", view.pause?.below?.[0] ?? "")).stdout;
  expect(words).toContain("datahammer resume r1 --budget");

  expect((await swarm.run("resume", "r1", "--budget", "dispatches=200")).code).toBe(0);
  const { code } = await swarm.run("watch", "r1");
  expect(code).toBe(0);
  const ended = await viewOf(swarm, "r1");
  expect(ended.status).toBe("done");
  // Each nested run is a dispatch of its parent, as each step of it is: none was given a second time.
  expect(await nestedRuns(swarm)).toHaveLength(ITEMS);
  expect(ended.spent.dispatches).toBe(ITEMS + ITEMS * LENGTH);
}, 240_000);

function begun(swarm: Stage): number {
  return existsSync(swarm.env.COUNT_FILE as string) ? swarm.executions().length : 0;
}

async function statusOf(swarm: Stage): Promise<unknown> {
  return (await swarm.run("show", "r1", "--json")).json().status;
}

interface View {
  run: string;
  status: string;
  spent: { dispatches: number };
  pause?: { above?: string; below?: string[] };
}

async function viewOf(swarm: Stage, run: string): Promise<View> {
  return (await swarm.run("show", run, "--json")).json() as unknown as View;
}

async function nestedRuns(swarm: Stage): Promise<string[]> {
  const runs = JSON.parse((await swarm.run("runs", "--json")).stdout) as { run: string }[];
  return runs.map(({ run }) => run).filter((run) => run !== "r1");
}

/** The dispatches of nested runs that have ended; the same one may have been run twice. */
async function given(swarm: Stage): Promise<Set<string>> {
  const logs = await Promise.all((await nestedRuns(swarm)).map((run) => swarm.log(run)));
  const results = logs.flat().flatMap((one) => (one.kind === "result" ? [one] : []));
  return new Set(results.map(({ run, body: { step, n } }) => `${run} ${step}#${n}`));
}
