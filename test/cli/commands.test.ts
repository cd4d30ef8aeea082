/**
 * The commands against a real daemon, broker and agent process: would catch a command that prints another
 * shape than promised, mixes words into its JSON, or ends with the wrong exit code.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ECHO_AGENT, jsonOf, THROWING_AGENT, Workspace } from "./workspace.ts";

const HELLO = {
  name: "hello",
  inputs: { text: "hi" },
  steps: [
    { id: "first", agent: "echo", task: "say", inputs: { text: "${inputs.text}" }, outputs: ["said"] },
    { id: "second", agent: "echo", task: "say", dependsOn: ["first"], inputs: { text: "${env.said}!" } },
    { id: "never", agent: "echo", task: "say", dependsOn: ["first"], when: "env.said == 'no'" },
  ],
  outputs: { said: "${env.said}" },
};

describe("the command line, on a running swarm", () => {
  let work: Workspace;
  let daemonPid: number;

  beforeAll(async () => {
    work = await Workspace.make();
    await work.write("hello.yaml", HELLO);
    await work.write("failing.yaml", { steps: [{ id: "bad", agent: "echo", task: "fail" }] });
    await work.write("waiting.yaml", {
      name: "waiting",
      steps: [{ id: "wait", agent: "nobody", task: "come" }],
    });
    const daemon = await work.up(["--http", "127.0.0.1:0", "--agents", ECHO_AGENT]);
    daemonPid = daemon.pid;
    const ready = JSON.parse(daemon.stdout().split("\n")[0] ?? "");
    expect(ready).toMatchObject({ event: "ready", pid: daemonPid, swarm: "main" });
    expect(ready.nats).toMatch(/^nats:\/\/127\.0\.0\.1:\d+$/);
    expect(ready.http).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const health = await fetch(`${ready.http}/readyz`);
    expect(health.status).toBe(200);
  });
  afterAll(() => work.remove());

  it("runs a workflow to its end and prints exactly one JSON value", async () => {
    const result = await work.run([
      "run",
      "hello.yaml",
      "--input",
      "text=good day",
      "--run",
      "r-hello",
      "--json",
    ]);
    expect(result.code, result.stderr).toBe(0);
    expect(jsonOf(result)).toMatchObject({
      run: "r-hello",
      status: "done",
      outputs: { said: "good day" },
      environment: { said: "good day" },
      steps: {
        first: {
          state: "done",
          outcome: "completed",
          attempts: 1,
          agent: expect.stringMatching(/^echo-\d+-/),
        },
        second: { state: "done", outcome: "completed" },
        never: { state: "done", outcome: "skipped", attempts: 0, agent: null },
      },
    });
    expect(result.stderr).toContain("second");
  });

  it("tells why, where two runs parted, and how a run stood at a moment", async () => {
    await work.ask(["run", "hello.yaml", "--run", "r-one"]);
    await work.ask(["run", "hello.yaml", "--run", "r-two", "--input", "text=no"]);
    const why = jsonOf(await work.ask(["why", "r-one", "never", "--json"])) as {
      text: string;
      seq: number | null;
    }[];
    expect(why.at(-1)?.text).toBe("It was skipped: its condition is false: env.said == 'no'.");
    const path = jsonOf(await work.ask(["why", "r-one", "--json"])) as { steps: { step: string }[] };
    expect(path.steps.map(({ step }) => step)).toEqual(["first", "second"]);
    const diff = jsonOf(await work.ask(["trace", "diff", "r-one", "r-two", "--json"])) as { steps: object[] };
    expect(diff).toMatchObject({ runs: ["r-one", "r-two"], inputs: ["text"] });
    expect(diff.steps).toContainEqual(
      expect.objectContaining({ step: "first", what: "outputs", parted: true }),
    );
    const past = jsonOf(await work.ask(["show", "r-one", "--at", "+0s", "--json"])) as { status: string };
    expect(past.status).toBe("running");
    const history = jsonOf(await work.ask(["env", "r-one", "--history", "--json"])) as object[];
    expect(history).toMatchObject([{ key: "said", value: "hi", writer: { step: "first" } }]);
    const followed = await work.ask(["trace", "r-one", "--follow", "--json"]);
    const lines = followed.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toEqual(jsonOf(await work.ask(["trace", "r-one", "--json"])));
    expect((await work.ask(["trace", "r-one", "--format", "perfetto"])).stdout).toContain('"traceEvents"');
  });

  it("shows, lists, traces and watches a run that has ended", async () => {
    await work.ask(["run", "hello.yaml", "--run", "r-shown"]);
    const show = jsonOf(await work.ask(["show", "r-shown", "--json"])) as Record<string, unknown>;
    expect(show).toMatchObject({ run: "r-shown", name: "hello", status: "done" });

    const runs = jsonOf(await work.ask(["runs", "--status", "done", "--json"])) as { run: string }[];
    expect(runs.find(({ run }) => run === "r-shown")).toMatchObject({
      name: "hello",
      status: "done",
      steps: { total: 3, done: 3, failed: 0, running: 0 },
    });
    expect(jsonOf(await work.ask(["runs", "--limit", "1", "--json"]))).toHaveLength(1);

    const trace = jsonOf(await work.ask(["trace", "r-shown", "--json"])) as Record<string, unknown>[];
    for (const transition of trace) {
      expect(Object.keys(transition)).toEqual([
        "seq",
        "ts",
        "actor",
        "from",
        "to",
        "event",
        "attempt",
        "agent",
        "cause",
      ]);
    }
    expect(trace.filter(({ actor }) => actor === "first").map(({ to }) => to)).toEqual([
      "ready",
      "running",
      "done",
    ]);
    const early = jsonOf(
      await work.ask(["trace", "r-shown", "--at", String(trace[0]?.seq), "--json"]),
    ) as unknown[];
    expect(early.length).toBeLessThan(trace.length);
    expect((await work.ask(["trace", "r-shown", "--format", "mermaid"])).stdout).toContain("flowchart TD");
    expect((await work.ask(["trace", "r-shown"])).stdout).toContain("├ ✔ second");

    const watch = await work.ask(["watch", "r-shown", "--json"]);
    const lines = watch.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(watch.code).toBe(0);
    expect(lines.at(-1)).toMatchObject({ type: "end", status: "done" });
    expect(lines.filter(({ type }) => type === "transition").map(({ type: _, ...rest }) => rest)).toEqual(
      trace,
    );
  });

  it("reads and writes the environment of a run, and tells who wrote in between", async () => {
    await work.ask([
      "run",
      "waiting.yaml",
      "--run",
      "r-env",
      "--have",
      await work.write("have.json", '{"a": {"b": [1, 2]}}'),
      "--detach",
    ]);
    await work.start(["watch", "r-env", "--json"]).waitForLine((line) => line.includes('"to":"running"'));
    const inside = jsonOf(await work.ask(["env", "r-env", "a.b.1", "--json"])) as { revision: number };
    expect(inside).toMatchObject({ values: { "a.b.1": 2 } });
    const set = await work.ask([
      "env",
      "r-env",
      "set",
      "a",
      '{"b": 3}',
      "--if-revision",
      String(inside.revision),
      "--json",
    ]);
    expect(set.code, set.stderr).toBe(0);
    expect((await work.ask(["env", "r-env", "a.b"])).stdout).toBe("3\n");
    const stale = await work.ask([
      "env",
      "r-env",
      "set",
      "a",
      "4",
      "--if-revision",
      String(inside.revision),
      "--json",
    ]);
    expect(stale.code).toBe(1);
    expect(JSON.parse(stale.stderr)).toMatchObject({ error: { code: "E_NOT_APPLIED" } });
    expect((await work.ask(["env", "r-env", "nope"])).code).toBe(3);
    expect((await work.ask(["env", "r-env", "set", "a", "not json"])).code).toBe(2);

    expect(jsonOf(await work.ask(["pause", "r-env", "--json"]))).toEqual({ run: "r-env", ok: true });
    expect(jsonOf(await work.ask(["resume", "r-env", "--json"]))).toEqual({ run: "r-env", ok: true });
    expect(jsonOf(await work.ask(["cancel", "r-env", "--json"]))).toMatchObject({
      run: "r-env",
      ok: true,
      settled: true,
    });
    const watch = await work.ask(["watch", "r-env"]);
    expect(watch.code).toBe(1);
    const again = await work.ask(["cancel", "r-env", "--json"]);
    expect(again.code).toBe(1);
    expect(jsonOf(again)).toMatchObject({
      run: "r-env",
      ok: false,
      reason: expect.stringContaining("cancelled"),
    });
  });

  it("lists agents and roles, and changes a role's queue", async () => {
    expect(jsonOf(await work.ask(["agents", "--json"]))).toEqual([
      expect.objectContaining({
        role: "echo",
        host: expect.any(String),
        pid: expect.any(Number),
        failed: expect.any(Number),
      }),
    ]);
    const added = jsonOf(
      await work.ask([
        "roles",
        "add",
        "python",
        "--encoding",
        "json",
        "--in-flight",
        "7",
        "--ack-wait",
        "30s",
        "--json",
      ]),
    );
    expect(added).toEqual({ role: "python", encoding: "json", inFlight: 7, ackWait: 30_000 });
    const roles = jsonOf(await work.ask(["roles", "--json"])) as { role: string }[];
    expect(roles.map(({ role }) => role).sort()).toEqual(["echo", "python"]);
  });

  it("plans with the agents that are present, and runs from goals", async () => {
    const plan = await work.ask(["plan", "--want", "said", "--json"]);
    expect(jsonOf(plan)).toMatchObject({
      cost: 1,
      optimal: true,
      workflow: { steps: [{ agent: "echo", task: "say" }] },
    });
    const text = await work.ask(["plan", "--want", "said"]);
    await work.write("planned.yaml", text.stdout);
    expect((await work.ask(["validate", "planned.yaml"])).code).toBe(0);
    const run = await work.ask(["run", "--want", "said", "--json"]);
    expect(run.code, run.stderr).toBe(0);
    expect(jsonOf(run)).toMatchObject({ status: "done", environment: { said: "hello" } });
  });

  it("ends with 1 for a run that failed, and retries its failed steps on request", async () => {
    const failed = await work.ask(["run", "failing.yaml", "--run", "r-failed", "--json"]);
    expect(failed.code).toBe(1);
    expect(jsonOf(failed)).toMatchObject({
      status: "failed",
      error: { step: "bad", message: expect.stringContaining("it does not work") },
    });
    expect((await work.ask(["retry", "r-failed"])).code).toBe(0);
    const watched = await work.ask(["watch", "r-failed", "--json"]);
    expect(watched.stdout).toContain('"event":"reopen"');
    expect(watched.code).toBe(1);
  });

  it("ends with 2 for an id that is taken, an agent file that throws, and a second daemon on the store", async () => {
    await work.ask(["run", "hello.yaml", "--run", "r-twice"]);
    const twice = await work.ask(["run", "hello.yaml", "--run", "r-twice"]);
    expect(twice).toMatchObject({ code: 2, stdout: "" });
    expect(twice.stderr).toContain('there is a run "r-twice" already');

    for (const args of [
      ["agent", THROWING_AGENT],
      ["run", "hello.yaml", "--agents", THROWING_AGENT],
    ]) {
      const result = await work.run(args);
      expect(result.code, result.stderr).toBe(2);
      expect(result.stderr).toMatch(/error: the agent file .*throwing-agent\.ts .*line 3.*no url is set/);
      expect(result.stderr).toContain("remedy: ");
    }

    const second = await work.run(["up"]);
    expect(second.code).toBe(2);
    expect(second.stderr).toContain(`in use by process ${daemonPid}`);
  });

  it("ends with 3 for a run, a step or a file that is not there", async () => {
    for (const args of [
      ["show", "nope"],
      ["watch", "nope"],
      ["trace", "nope"],
      ["cancel", "nope"],
      ["env", "nope"],
      ["run", "nope.yaml"],
      ["agent", "nope.ts"],
    ]) {
      expect((await work.ask(args)).code, args.join(" ")).toBe(3);
    }
    await work.ask(["run", "hello.yaml", "--run", "r-steps"]);
    const step = await work.ask(["trace", "r-steps", "--step", "frist"]);
    expect(step.code).toBe(3);
    expect(step.stderr).toContain('Did you mean "first"?');
  });

  it("ends with 4 when --timeout passes, and the run goes on", async () => {
    const result = await work.ask(["run", "waiting.yaml", "--run", "r-late", "--timeout", "300ms", "--json"]);
    expect(result.code).toBe(4);
    expect(jsonOf(result)).toMatchObject({ run: "r-late", status: "running" });
    expect(jsonOf(await work.ask(["cancel", "r-late", "--json"]))).toMatchObject({
      run: "r-late",
      ok: true,
      settled: true,
    });
  });

  it("ends with 5 when no plan reaches the goal", async () => {
    for (const args of [
      ["plan", "--want", "gold"],
      ["run", "--want", "gold"],
    ]) {
      const result = await work.ask(args);
      expect(result.code, result.stderr).toBe(5);
      expect(result.stdout + result.stderr).toContain("gold");
    }
  });

  it("stops watching at Ctrl-C with 130, and the run goes on", async () => {
    const watch = work.start(["run", "waiting.yaml", "--run", "r-on", "--json"]);
    await watch.waitForLine((line) => line.includes("running"), { stream: "stderr" });
    expect((await watch.kill("SIGINT")).code).toBe(130);
    expect(jsonOf(await work.ask(["show", "r-on", "--json"]))).toMatchObject({ status: "running" });
    await work.ask(["cancel", "r-on"]);
  });

  it("finds nothing wrong with itself", async () => {
    const doctor = await work.ask(["doctor", "--json"]);
    expect(doctor.code, doctor.stdout).toBe(0);
    expect(jsonOf(doctor)).toEqual(
      expect.arrayContaining([expect.objectContaining({ check: "jetstream", ok: true })]),
    );
  });
});
