/**
 * What happens to processes: would catch a command that leaves a broker or an agent behind, loses the task of
 * a killed agent, or cannot be stopped.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isRunning, processesUnder, type RunningCli } from "../support/cli.ts";
import { ECHO_AGENT, jsonOf, Workspace } from "./workspace.ts";

let work: Workspace;
beforeEach(async () => {
  work = await Workspace.make();
});
afterEach(() => work.remove());

/** Resolves once none of the processes runs; the test's own time-out is the bound. */
async function gone(pids: readonly number[]): Promise<void> {
  for (const pid of pids) while (await isRunning(pid)) await new Promise((resolve) => setImmediate(resolve));
}

async function holdingRun(agents: readonly string[], once: boolean): Promise<RunningCli> {
  await work.write("hold.yaml", {
    name: "hold",
    steps: [{ id: "held", agent: "echo", task: "hold", inputs: { journal: work.path("journal"), once } }],
  });
  const run = work.start(["run", "hold.yaml", "--run", "r-hold", "--json", "--agents", ...agents]);
  await run.waitForLine((line) => line.includes("held") && line.includes("running"), { stream: "stderr" });
  return run;
}

describe("a run without a daemon", () => {
  it("starts broker, daemon and agents, and leaves no process behind when it is done", async () => {
    await work.write("hello.yaml", { steps: [{ id: "say", agent: "echo", task: "say", outputs: ["said"] }] });
    const run = work.start(["run", "hello.yaml", "--json", "--agents", ECHO_AGENT]);
    await run.waitForLine((line) => line.includes("say"), { stream: "stderr" });
    const children = await processesUnder(run.pid);
    const result = await run.exited;
    expect(result.code, result.stderr).toBe(0);
    expect(jsonOf(result)).toMatchObject({ status: "done" });
    expect(children.some(({ command }) => command.includes("nats-server"))).toBe(true);
    for (const { pid, command } of children) expect(await isRunning(pid), command).toBe(false);
  });

  it("leaves no process behind after Ctrl-C, and cancels what nobody would finish", async () => {
    const run = await holdingRun([ECHO_AGENT], false);
    const children = await processesUnder(run.pid);
    expect(children.filter(({ command }) => command.includes("echo-agent"))).toHaveLength(1);
    const result = await run.kill("SIGINT");
    expect(result.code, result.stderr).toBe(130);
    expect(jsonOf(result)).toMatchObject({ run: "r-hold", status: "cancelled" });
    for (const { pid, command } of children) expect(await isRunning(pid), command).toBe(false);
  });

  it("ends at once at the second Ctrl-C, and its processes with it", async () => {
    const run = await holdingRun([ECHO_AGENT], false);
    const children = await processesUnder(run.pid);
    run.child.kill("SIGINT");
    const result = await run.kill("SIGINT");
    expect(result.code).toBe(130);
    await gone(children.map(({ pid }) => pid));
  });

  it("leaves no process behind when it is killed itself", async () => {
    const run = await holdingRun([ECHO_AGENT], false);
    const children = await processesUnder(run.pid);
    expect(children.length).toBeGreaterThanOrEqual(2);
    await run.kill("SIGKILL");
    await gone(children.map(({ pid }) => pid));
  });

  it("gives the task of a killed agent to another one", async () => {
    const run = await holdingRun([ECHO_AGENT, ECHO_AGENT], true);
    const [, holder = ""] = (await work.read("journal")).trim().split(" ");
    process.kill(Number(holder), "SIGKILL");
    const result = await run.exited;
    expect(result.code, result.stderr).toBe(0);
    const view = jsonOf(result) as { steps: Record<string, { agent: string }> };
    expect(view.steps.held?.agent).toMatch(/^echo-\d+-/);
    const journal = (await work.read("journal")).trim().split("\n");
    expect(journal.length).toBeGreaterThan(1);
    expect(journal.at(-1)).not.toBe(`held ${holder}`);
  });
});

describe("a daemon", () => {
  it("serves each agent file in a process of its own, brings a killed one back, and takes all along at Ctrl-C", async () => {
    const daemon = await work.up(["--agents", ECHO_AGENT, ECHO_AGENT]);
    const ready = JSON.parse(daemon.stdout()) as { agents: { role: string; pid: number }[] };
    expect(ready.agents.map(({ role }) => role)).toEqual(["echo", "echo"]);
    const [first, second] = ready.agents.map(({ pid }) => pid);
    expect(first).not.toBe(second);
    process.kill(first as number, "SIGKILL");
    await daemon.waitForLine((line) => line.includes("is back as process"), { stream: "stderr" });
    const children = await processesUnder(daemon.pid);
    expect(children.filter(({ command }) => command.includes("echo-agent"))).toHaveLength(2);
    expect((await daemon.kill("SIGINT")).code).toBe(130);
    for (const { pid, command } of children) expect(await isRunning(pid), command).toBe(false);
  });

  it("ends with 0 at SIGTERM, as service managers expect", async () => {
    const daemon = await work.up();
    expect((await daemon.kill("SIGTERM")).code).toBe(0);
  });

  it("tells its probes that it drains while its agents end, and ends all at once at the second SIGTERM", async () => {
    await work.write("hold.yaml", {
      steps: [{ id: "held", agent: "echo", task: "hold", inputs: { journal: work.path("journal") } }],
    });
    const daemon = await work.up(["--http", "127.0.0.1:0", "--agents", ECHO_AGENT]);
    const { http } = JSON.parse(daemon.stdout().split("\n")[0] ?? "") as { http: string };
    await work.run(["run", "hold.yaml", "--run", "r-hold", "--detach"]);
    await expect.poll(() => work.read("journal").catch(() => ""), { timeout: 20_000 }).toContain("held");
    const children = await processesUnder(daemon.pid);
    expect((await fetch(`${http}/readyz`)).status).toBe(200);
    daemon.child.kill("SIGTERM");
    // The task that holds on keeps its agent, and that the daemon, for some seconds.
    await expect.poll(async () => (await fetch(`${http}/readyz`)).status, { timeout: 4_000 }).toBe(503);
    expect(await (await fetch(`${http}/readyz`)).json()).toMatchObject({ ready: false });
    expect((await fetch(`${http}/healthz`)).status).toBe(200);
    expect((await daemon.kill("SIGTERM")).code).toBe(130);
    await gone(children.map(({ pid }) => pid));
  });

  it("an agent of its own lets its task end at SIGTERM, and ends at once at the second", async () => {
    await work.write("hold.yaml", {
      steps: [{ id: "held", agent: "echo", task: "hold", inputs: { journal: work.path("journal") } }],
    });
    await work.up();
    const agent = work.start(["agent", ECHO_AGENT, "--json"]);
    await agent.waitForLine((line) => line.includes("ready"));
    await work.run(["run", "hold.yaml", "--run", "r-hold", "--detach"]);
    await expect.poll(() => work.read("journal").catch(() => ""), { timeout: 20_000 }).toContain("held");
    agent.child.kill("SIGTERM");
    await agent.waitForLine((line) => line.includes("draining"), { stream: "stderr" });
    expect(agent.child.exitCode).toBeNull();
    expect((await agent.kill("SIGTERM")).code).toBe(130);
  });

  it("goes on with a run after it was killed, and its broker with it", async () => {
    await work.write("wait.yaml", { steps: [{ id: "say", agent: "echo", task: "say", outputs: ["said"] }] });
    const first = await work.up();
    const submitted = await work.run(["run", "wait.yaml", "--run", "r-kept", "--detach", "--json"]);
    expect(submitted.code, submitted.stderr).toBe(0);
    const children = await processesUnder(first.pid);
    await first.kill("SIGKILL");
    await gone(children.map(({ pid }) => pid));
    await work.up(["--agents", ECHO_AGENT]);
    const watched = await work.run(["watch", "r-kept"]);
    expect(watched.code, watched.stderr).toBe(0);
  });

  it("an agent that is started before its daemon serves when that comes", async () => {
    const agent = work.start(["agent", ECHO_AGENT, "--json"]);
    await agent.waitForLine((line) => line.includes("waiting for a daemon"), { stream: "stderr" });
    await work.up();
    await agent.waitForLine((line) => line.includes('"ready"'));
  });

  it("says which port is in use, and leaves no broker behind", async () => {
    const daemon = await work.up(["--http", "127.0.0.1:0"]);
    const { http } = JSON.parse(daemon.stdout()) as { http: string };
    const other = work.start(["up", "--store", work.path("other"), "--http", new URL(http).host]);
    const result = await other.exited;
    expect(result.code, result.stderr).toBe(2);
    expect(result.stderr).toContain(new URL(http).port);
    expect(result.stderr).toContain("remedy: ");
    expect((await work.run(["runs", "--store", work.path("other")])).code).toBe(4);
  });

  it("outlives its broker: what was submitted before runs after", async () => {
    await work.write("wait.yaml", { steps: [{ id: "say", agent: "echo", task: "say", outputs: ["said"] }] });
    const daemon = await work.up();
    await work.run(["run", "wait.yaml", "--run", "r-before", "--detach"]);
    const broker = (await processesUnder(daemon.pid)).find(({ command }) => command.includes("nats-server"));
    process.kill(broker?.pid as number, "SIGKILL");
    await daemon.waitForLine((line) => line.includes("broker restarted"), { stream: "stderr" });
    const agent = work.start(["agent", ECHO_AGENT, "--json"]);
    await agent.waitForLine((line) => line.includes('"ready"'));
    const watched = await work.run(["watch", "r-before"]);
    expect(watched.code, watched.stderr).toBe(0);
    expect((await agent.kill("SIGTERM")).code).toBe(0);
  });
});

describe("a command whose reader goes away", () => {
  it("ends quietly when stdout is closed under it", async () => {
    await work.write("wait.yaml", { steps: [{ id: "wait", agent: "nobody", task: "come" }] });
    await work.up();
    await work.run(["run", "wait.yaml", "--run", "r-piped", "--detach"]);
    const watch = work.start(["watch", "r-piped", "--json"]);
    await watch.waitForLine((line) => line.includes("running"));
    watch.child.stdout?.destroy();
    await work.run(["cancel", "r-piped"]);
    const { stderr } = await watch.exited;
    expect(stderr).not.toContain("EPIPE");
  });
});

describe("Ctrl-C while a swarm is starting", () => {
  it.each(["starting a process", "broker"])("leaves no process behind (%s)", async (word) => {
    const demo = work.start(["demo"]);
    await demo.waitForLine((line) => line.includes(word), { stream: "stderr" });
    const children = await processesUnder(demo.pid);
    const result = await demo.kill("SIGINT");
    expect(result.code, result.stderr).toBe(130);
    await gone(children.map(({ pid }) => pid));
    expect((await work.run(["runs"])).code).toBe(4);
  });
});
