/**
 * A real daemon and agent process with a collector: would catch spans that are not sent, that do not hang
 * together over processes, or a collector whose absence harms a run.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunningCli } from "../support/cli.ts";
import { Collector } from "../support/otlp-collector.ts";
import { ECHO_AGENT, jsonOf, Workspace } from "./workspace.ts";

describe("with a collector", () => {
  const collector = new Collector();
  let work: Workspace;
  let up: RunningCli;

  beforeAll(async () => {
    work = await Workspace.make();
    const endpoint = await collector.start();
    await work.write("one.yaml", {
      name: "one",
      steps: [{ id: "say", agent: "echo", task: "say", inputs: { text: "hi" } }],
    });
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: "50" };
    up = await work.up(["--agents", ECHO_AGENT], { env });
  });
  afterAll(async () => {
    await work.remove();
    collector.stop();
  });

  it("a run's spans go from the run over step and dispatch into the agent's process", async () => {
    const ran = await work.ask(["run", "one.yaml", "--run", "r-spans", "--json"]);
    expect(jsonOf(ran)).toMatchObject({ status: "done" });
    const find = (name: string) => collector.spans.find((span) => span.name === name);
    await collector.until(() => find("echo/say") !== undefined && find("dispatch say #1") !== undefined);
    const [run, step, dispatch, task] = ["run one", "step say", "dispatch say #1", "echo/say"].map(find);
    expect(step?.parentSpanId).toBe(run?.spanId);
    expect(dispatch?.parentSpanId).toBe(step?.spanId);
    expect(task?.parentSpanId).toBe(dispatch?.spanId);
    expect(new Set([run, step, dispatch, task].map((span) => span?.traceId)).size).toBe(1);
  });

  it("a nested run is in the trace of its parent, under the dispatch that it is", async () => {
    const inner = {
      name: "inner",
      steps: [{ id: "say", agent: "echo", task: "say", inputs: { text: "deep" } }],
    };
    await work.write("outer.yaml", {
      name: "outer",
      steps: [{ id: "kid", agent: "orchestrator", task: "run", inputs: { workflow: inner } }],
    });
    const ran = await work.ask(["run", "outer.yaml", "--run", "r-outer", "--json"]);
    expect(jsonOf(ran)).toMatchObject({ status: "done" });
    const find = (name: string) => collector.spans.find((span) => span.name === name);
    await collector.until(() => find("run inner") !== undefined && find("dispatch kid #1") !== undefined);
    expect(find("run inner")).toMatchObject({
      traceId: find("run outer")?.traceId,
      parentSpanId: find("dispatch kid #1")?.spanId,
    });
  });

  it("the daemon's log lines about a run carry the trace id of its spans", async () => {
    await work.run(["run", "one.yaml", "--run", "r-lines"]);
    const spans = await work.run(["trace", "r-lines", "--format", "otlp"]);
    const { traceId } = JSON.parse(spans.stdout).resourceSpans[0].scopeSpans[0].spans[0];
    await up.waitForLine((line) => /"run":"r-lines".*"run ended"/.test(line), { stream: "stderr" });
    const lines = up
      .stderr()
      .split("\n")
      .filter((line) => line.includes(`"r-lines"`));
    expect(lines.length).toBeGreaterThan(1);
    expect(new Set(lines.map((line) => (JSON.parse(line) as { traceId?: string }).traceId))).toEqual(
      new Set([traceId]),
    );
  });
});

describe("with a collector that is away", () => {
  it("a run goes on as it would without", async () => {
    const work = await Workspace.make();
    try {
      await work.write("one.yaml", {
        steps: [{ id: "say", agent: "echo", task: "say", inputs: { text: "hi" } }],
      });
      const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" };
      const ran = await work.run(["run", "one.yaml", "--agents", ECHO_AGENT, "--json"], { env });
      expect(ran.code, ran.stderr).toBe(0);
      expect(jsonOf(ran)).toMatchObject({ status: "done" });
    } finally {
      await work.remove();
    }
  });
});
