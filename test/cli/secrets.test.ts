/**
 * A workflow that names secrets, with agents that say them wherever they can, and every surface on which a
 * person or a program could read them. Catches: a view that was added without the mask, a text that quotes a
 * value, and a mask that reaches the agents, which need the values themselves.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runProgram } from "../../src/cli/program.ts";
import { EventReader } from "../http/event-reader.ts";
import type { RunningCli } from "../support/cli.ts";
import { Collector } from "../support/otlp-collector.ts";
import { memoryShell } from "./memory-shell.ts";
import { Workspace } from "./workspace.ts";

const LEAKING_AGENT = new URL("fixtures/leaking-agent.ts", import.meta.url).pathname;
/** With letters that JSON, terminals and addresses write otherwise. */
const TOKEN = 'tok-5c2e9a"1/ü end';
const SESSION = `session-of-${TOKEN.slice(0, 4)}`;
const LATER = "later-value-0815";
/** In every form in which a surface may write them. */
const FORBIDDEN = [TOKEN, SESSION, LATER].flatMap((secret) => [
  secret,
  JSON.stringify(secret).slice(1, -1),
  encodeURIComponent(secret),
]);

const WORKFLOW = {
  name: "secretive",
  secrets: ["token", "session", "pin"],
  inputs: { token: "default-token-1", other: "seen" },
  steps: [
    {
      id: "leak",
      agent: "leaker",
      task: "leak",
      inputs: { token: "${inputs.token}", sentence: "use ${inputs.token} now" },
      outputs: ["session", "pin", "note"],
    },
    {
      id: "fail",
      agent: "leaker",
      task: "fail",
      dependsOn: ["leak"],
      inputs: { header: "Bearer ${inputs.token}", session: "${env.session}" },
      retry: { maxAttempts: 2, initial: "1ms" },
      onFailure: "continue",
    },
    { id: "pass", agent: "leaker", task: "pass", dependsOn: ["leak"], inputs: { token: "${inputs.token}" } },
  ],
  outputs: { session: "${env.session}", quoted: "it is ${env.session}" },
};

let work: Workspace;
let up: RunningCli;
let http: string;
const collector = new Collector();
/** Everything that any surface said, by its name. */
const said = new Map<string, string>();

beforeAll(async () => {
  work = await Workspace.make();
  await work.write("flow.json", JSON.stringify(WORKFLOW));
  await work.write(
    "hold.json",
    JSON.stringify({
      secrets: ["token", "session"],
      steps: [{ id: "wait", agent: "leaker", task: "wait", inputs: { token: "${inputs.token}" } }],
      inputs: { token: TOKEN },
    }),
  );
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: await collector.start(), OTEL_BSP_SCHEDULE_DELAY: "50" };
  up = await work.up(["--http", "127.0.0.1:0", "--agents", LEAKING_AGENT, "--log-level", "trace"], { env });
  http = (JSON.parse(up.stdout().split("\n")[0] ?? "") as { http: string }).http;
  for (const run of ["one", "two"]) {
    const token = run === "one" ? TOKEN : `${TOKEN}-${run}`;
    const ran = await work.ask(["run", "flow.json", "--run", run, "--input", `token=${token}`, "--json"]);
    expect(ran.code, ran.stderr).toBe(0);
    said.set(`run ${run}`, ran.stdout + ran.stderr);
  }
});
afterAll(async () => {
  await work?.remove();
  collector.stop();
});

/** What the command said, kept under its own words. */
async function say(...args: string[]): Promise<string> {
  const shell = memoryShell({ cwd: work.folder });
  const code = await runProgram(args, shell);
  const [surface, out] = [args.slice(0, 4).join(" "), shell.out()];
  expect(code, `${surface}: ${shell.err()}`).toBe(0);
  said.set(`${surface} (${said.size})`, out + shell.err());
  return out;
}

async function get(path: string): Promise<string> {
  const answer = await fetch(`${http}${path}`);
  const text = await answer.text();
  expect(answer.status, `${path}: ${text}`).toBe(200);
  said.set(path, text);
  return text;
}

function expectNoneSaid(): void {
  const leaks = [...said].flatMap(([surface, text]) =>
    FORBIDDEN.filter((secret) => text.includes(secret)).map((secret) => `${surface}: ${secret}`),
  );
  expect(leaks).toEqual([]);
}

describe("a run whose workflow names secrets", () => {
  it("gives its agents the values themselves", async () => {
    const shown = JSON.parse(await say("show", "one", "--json"));
    // The task that got it by handoff measured it.
    expect(shown.steps.pass).toMatchObject({ state: "done" });
    const { steps } = JSON.parse(await get("/api/runs/one")) as { steps: Record<string, { state: string }> };
    expect(steps.pass?.state).toBe("done");
    const pass = JSON.parse(await get("/api/runs/one/steps/pass"));
    expect(pass.outputs.length).toBe(TOKEN.length);
  });

  it("hides them in every answer of the command line", async () => {
    for (const json of [[], ["--json"]]) {
      const shown = await say("show", "one", ...json);
      expect(shown).toContain("***");
      await say("env", "one", ...json);
      await say("env", "one", "session", ...json);
      await say("env", "one", "note", ...json);
      await say("env", "one", "--history", ...json);
      await say("env", "one", "--at", "+1h", ...json);
      await say("why", "one", ...json);
      for (const step of ["leak", "fail", "pass"]) await say("why", "one", step, ...json);
      await say("trace", "diff", "one", "two", ...json);
      await say("watch", "one", ...json);
      await say("trace", "one", "--follow", ...json);
      await say("runs", ...json);
    }
    for (const format of ["text", "json", "mermaid", "perfetto", "otlp"]) {
      await say("trace", "one", "--format", format);
      await say("trace", "one", "--format", format, "--step", "fail");
    }
    expectNoneSaid();
  });

  it("hides them in every answer of the HTTP API, now and then", async () => {
    const paths = ["", "/head", "/graph", "/transitions", "/records", "/environment", "/environment/history"];
    const more = [
      "/environment/session",
      "/environment/note",
      "/steps/leak",
      "/steps/fail",
      "/trace",
      "/plan",
    ];
    for (const path of [...paths, ...more]) await get(`/api/runs/one${path}`);
    const { firstSeq, seq } = JSON.parse(await get("/api/runs/one/head"));
    for (const at of [firstSeq, seq]) {
      for (const path of ["", "/head", "/steps/leak", "/environment"])
        await get(`/api/runs/one${path}?at=${at}`);
    }
    expect(JSON.parse(await get("/api/runs/one/environment")).values).toMatchObject({
      session: "***",
      pin: "***",
      note: "made with ***",
    });
    await get("/metrics");
    await get("/api/tasks");
    expectNoneSaid();
  });

  it("hides them in what is told while it runs, and what a key held before", async () => {
    await say("run", "hold.json", "--run", "held", "--detach", "--json");
    const events = await EventReader.open(`${http}/api/runs/held/events`);
    const live = JSON.stringify(await events.until(({ event }) => event === "live"));
    events.close();
    said.set("live events", live);
    expect(live).toContain("***");
    const watch = work.start(["watch", "held", "--json"]);
    await watch.waitForLine((line) => line.includes('"chunk"'));
    const set = JSON.parse(await say("env", "held", "set", "session", JSON.stringify(LATER), "--json"));
    expect(set.values).toEqual({ session: "***" });
    await say("env", "held", "set", "session", JSON.stringify(SESSION));
    await say("env", "held", "set", "quote", JSON.stringify(`it was ${LATER} at ${TOKEN}`));
    expect(await say("env", "held", "quote")).toBe("it was *** at ***\n");
    await say("env", "held", "--history");
    await get("/api/runs/held/environment/history");
    await get("/api/runs/held/records");
    await say("show", "held", "--json");
    await say("cancel", "held", "--json");
    said.set("watch", (await watch.exited).stdout);
    expectNoneSaid();
  });

  it("hides them in spans and logs", async () => {
    await collector.until(() => /datahammer\.run.{0,80}one/s.test(collector.received));
    said.set("spans", collector.received);
    said.set("logs", up.stdout() + up.stderr());
    expect(up.stderr()).toContain("I was given ***");
    expectNoneSaid();
  });
});
