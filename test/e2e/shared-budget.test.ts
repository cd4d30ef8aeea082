/**
 * One budget over nested runs at the same time, on a real server, with daemons and agents that are killed.
 * Catches: dispatches beyond the budget after a failover, in whichever run; nested runs that wait for ever for a run
 * above whose daemon died; a run that cannot go on when it is given more.
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
      retry: { maxAttempts: 9, initial: "10ms" },
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
  const view = (await swarm.run("show", "r1", "--json")).json() as { spent: { dispatches: number } };
  expect(view.spent.dispatches).toBe(ALLOWED);
  // Each nested run is a dispatch of its parent, as each step of it is; the same one may have been run twice.
  const logs = await Promise.all((await runsOf(swarm)).map((run) => swarm.log(run)));
  const ended = logs.flat().flatMap((one) => (one.kind === "result" ? [one] : []));
  const given = new Set(ended.map(({ run, body: { step, n } }) => `${run} ${step}#${n}`));
  expect(given.size).toBe(ALLOWED);

  expect((await swarm.run("resume", "r1", "--budget", "dispatches=200")).code).toBe(0);
  const { code } = await swarm.run("watch", "r1");
  expect(code).toBe(0);
  expect(await statusOf(swarm)).toBe("done");
}, 240_000);

function begun(swarm: Stage): number {
  return existsSync(swarm.env.COUNT_FILE as string) ? swarm.executions().length : 0;
}

async function statusOf(swarm: Stage): Promise<unknown> {
  return (await swarm.run("show", "r1", "--json")).json().status;
}

async function runsOf(swarm: Stage): Promise<string[]> {
  const runs = JSON.parse((await swarm.run("runs", "--json")).stdout) as { run: string }[];
  return runs.map(({ run }) => run);
}
