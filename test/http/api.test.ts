/**
 * The HTTP API on a real daemon. Catches: an answer that differs from what the OpenAPI document says or from
 * what `connectSwarm` says, a stream that loses or repeats a record when its client comes back, a page of
 * another site that can read or write, and an error without its remedy.
 */
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Transition } from "../../src/http/api.ts";
import type { EnvironmentEvent, RecordsEvent } from "../../src/http/api-events.ts";
import { EventReader } from "./event-reader.ts";
import { type HttpStage, openHttpStage } from "./stage.ts";

let stage: HttpStage;
beforeAll(async () => {
  stage = await openHttpStage();
});
afterAll(() => stage.stop());

/** An answer as a caller sees it who knows no types: each test says what it expects of it. */
// biome-ignore lint/suspicious/noExplicitAny: what is asserted is the point, not what a compiler assumes.
type Loose = any;

const JSON_HEADERS = { "content-type": "application/json" };

async function get(path: string): Promise<{ status: number; body: Loose }> {
  const response = await fetch(`${stage.url}${path}`);
  return { status: response.status, body: (await response.json()) as Loose };
}

async function write(
  method: string,
  path: string,
  body: unknown,
  headers: Record<string, string> = JSON_HEADERS,
) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(`${stage.url}${path}`, { method, headers, body: text });
  return { status: response.status, body: (await response.json()) as Loose, headers: response.headers };
}

/** A request with headers that `fetch` would not send. */
function raw(
  path: string,
  headers: Record<string, string>,
  method = "GET",
): Promise<{ status: number; body: Loose }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(stage.url);
    const sent = request({ hostname, port, path, method, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part) => {
        text += part;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Loose }),
      );
    });
    sent.on("error", reject).end(method === "GET" ? undefined : "{}");
  });
}

const isChange = ({ event }: { event: string }): boolean => event === "environment";

async function ended(run: string): Promise<void> {
  await stage.client.watch(run, () => {});
}

async function finished(run: string, workflow: unknown): Promise<void> {
  const { status, body } = await write("POST", "/api/runs", { run, workflow });
  expect([status, body]).toEqual([201, { run }]);
  await ended(run);
}

const twoSteps = {
  name: "two",
  steps: [
    { id: "a", agent: "worker", task: "work", inputs: { give: { made: { rows: 3 } } }, outputs: ["made"] },
    {
      id: "b",
      agent: "worker",
      task: "work",
      dependsOn: ["a"],
      inputs: { give: { seen: "${env.made.rows}" } },
    },
  ],
  outputs: { made: "${env.made}" },
};

describe("a run of goals", () => {
  it("takes what the client takes: secrets that nobody is shown, and for how long people are asked", async () => {
    const secret = "hunter2-in-the-vault";
    const body = {
      ...{ run: "goals-1", want: ["made"], inputs: { pin: secret }, environment: { password: secret } },
      ...{ secrets: ["password", "pin"], ask: "30m" },
    };
    expect(await write("POST", "/api/runs", body)).toMatchObject({ status: 201 });
    await ended("goals-1");
    const said: string[] = [];
    for (const view of [
      "",
      "/head",
      "/plan",
      "/environment",
      "/environment/history",
      "/records",
      "/outline",
    ]) {
      const { status, body: answer } = await get(`/api/runs/goals-1${view}`);
      expect([view, status]).toEqual([view, 200]);
      said.push(JSON.stringify(answer));
    }
    expect(said.join("\n")).not.toContain(secret);
    expect(said.join("\n")).toContain('"password":"***"');
    const { body: plan } = await get("/api/runs/goals-1/plan");
    expect(plan.workflow.defaults.ask).toEqual({ after: "30m" });
  });
});

describe("reading a run", () => {
  beforeAll(() => finished("read-1", twoSteps));

  it("says of a run what the client says", async () => {
    const { body } = await get("/api/runs/read-1");
    expect(body).toEqual(JSON.parse(JSON.stringify(await stage.client.show("read-1"))));
    expect(body).toMatchObject({ status: "done", outputs: { made: { rows: 3 } } });
  });

  it("says of the run as it was what the log held then", async () => {
    const { body: trace } = await get("/api/runs/read-1/transitions");
    const done = (trace.transitions as Transition[]).find(({ actor, to }) => actor === "a" && to === "done");
    const before = (await get(`/api/runs/read-1?at=${(done?.seq ?? 0) - 1}`)).body;
    const after = (await get(`/api/runs/read-1?at=${done?.seq}`)).body;
    expect([before.steps.a.outcome, before.environment]).toEqual([null, {}]);
    expect([after.steps.a.outcome, after.environment]).toEqual(["completed", { made: { rows: 3 } }]);
    const environment = (await get(`/api/runs/read-1/environment?at=${(done?.seq ?? 0) - 1}`)).body;
    expect(environment).toMatchObject({ revision: 0, values: {}, entries: [] });
  });

  it("finds the place in the log by time", async () => {
    const { body } = await get("/api/runs/read-1/transitions");
    const end = (body.transitions as Transition[]).at(-1);
    const { body: then } = await get(`/api/runs/read-1?at=${encodeURIComponent(end?.ts ?? "")}`);
    expect(then.seq).toBe(end?.seq);
  });

  it("says where the run's time went, and why a step took its way, then as now", async () => {
    const { body } = await get("/api/runs/read-1/why");
    const sum = body.steps.reduce((ms: number, { runMs }: { runMs: number }) => ms + runMs, 0);
    expect(body.steps.at(-1)).toMatchObject({ step: "b", role: "worker", dispatches: 1 });
    expect(sum).toBeLessThanOrEqual(body.totalMs);
    expect(body.whatIf.durationMs).toBeLessThanOrEqual(body.totalMs);
    const { body: reasons } = await get("/api/runs/read-1/steps/b/why");
    expect(reasons[0]).toEqual({ text: "b is task work of role worker.", seq: null });
    const { body: begin } = await get("/api/runs/read-1/head");
    const { body: then } = await get(`/api/runs/read-1/why?at=${begin.firstSeq}`);
    expect(then).toMatchObject({ seq: begin.firstSeq, totalMs: 0 });
    const nothing = await get("/api/runs/read-1/steps/nobody/why");
    expect(nothing.status).toBe(404);
  });

  it("shows a step with the inputs that it got and the outputs that it gave", async () => {
    const { body } = await get("/api/runs/read-1/steps/b");
    expect(body).toMatchObject({
      id: "b",
      state: "done",
      outcome: "completed",
      agent: "worker-1",
      attempt: 1,
    });
    expect(body.dispatches).toEqual([
      expect.objectContaining({ n: 1, end: "complete", inputs: { give: { seen: 3 } }, outputs: { seen: 3 } }),
    ]);
    expect(body.transitions.map(({ to }: Transition) => to)).toEqual(["ready", "running", "done"]);
  });

  it("names each key's writer and revision, and its history", async () => {
    const { body } = await get("/api/runs/read-1/environment");
    expect(body.values).toEqual({ made: { rows: 3 } });
    expect(body.entries).toEqual([
      {
        key: "made",
        revision: body.revision,
        ts: expect.any(String),
        writer: { step: "a", agent: "worker-1" },
      },
    ]);
    const { body: history } = await get("/api/runs/read-1/environment/history?key=made");
    expect(history.changes).toEqual([{ ...body.entries[0], value: { rows: 3 } }]);
  });

  it("gives the log page by page, each record once", async () => {
    const seqs: number[] = [];
    for (let after: number | null = 0; after !== null; ) {
      const { body }: { body: Loose } = await get(`/api/runs/read-1/records?limit=2&after=${after}`);
      seqs.push(...body.records.map(({ seq }: { seq: number }) => seq));
      after = body.next;
    }
    const stored: number[] = [];
    for await (const { seq } of stage.client.records("read-1")) stored.push(seq);
    expect(seqs).toEqual(stored);
  });
});

describe("the list of runs", () => {
  beforeAll(async () => {
    for (const run of ["list-a", "list-b", "list-c"]) await finished(run, { ...twoSteps, name: "listed" });
    await finished("list-bad", {
      name: "listed",
      steps: [{ id: "x", agent: "worker", task: "fail", retry: { maxAttempts: 1 } }],
    });
  });

  it("is searched, filtered and paged without a gap or a repetition", async () => {
    await expect.poll(async () => (await get("/api/runs?q=listed&status=done,failed")).body.total).toBe(4);
    const ids: string[] = [];
    for (let cursor = ""; ; ) {
      const { body } = await get(`/api/runs?q=LISTED&limit=2${cursor}`);
      ids.push(...body.runs.map(({ run }: { run: string }) => run));
      if (body.next === null) break;
      cursor = `&cursor=${encodeURIComponent(body.next)}`;
    }
    expect(ids).toEqual(["list-bad", "list-c", "list-b", "list-a"]);
    expect((await get("/api/runs?q=listed&status=failed")).body.runs).toMatchObject([{ run: "list-bad" }]);
  });
});

describe("acting", () => {
  it("a control that does not apply is stored and says why", async () => {
    await finished("act-1", twoSteps);
    const { status, body } = await write("POST", "/api/runs/act-1/controls", { verb: "pause" });
    expect([status, body]).toEqual([
      200,
      { run: "act-1", applied: false, reason: expect.stringContaining("done") },
    ]);
  });

  it("cancels a run that is under way", async () => {
    const hold = { id: "h", agent: "worker", task: "hold", inputs: { gate: "act-2" } };
    await write("POST", "/api/runs", { run: "act-2", workflow: { steps: [hold] } });
    await stage.held("act-2");
    expect(
      (await write("POST", "/api/runs/act-2/controls", { verb: "cancel", by: "ada" })).body.applied,
    ).toBe(true);
    await ended("act-2");
    expect((await get("/api/runs/act-2/head")).body).toMatchObject({
      status: "cancelled",
      error: { message: "cancelled by ada" },
    });
  });

  it("sets a key only at the revision that was read", async () => {
    const hold = { id: "h", agent: "worker", task: "hold", inputs: { gate: "act-3" } };
    await write("POST", "/api/runs", { run: "act-3", workflow: { steps: [hold] }, environment: { k: 1 } });
    await stage.held("act-3");
    const first = await write("PUT", "/api/runs/act-3/environment/k", { value: 2 });
    expect(first.body.applied).toBe(true);
    const stale = await write("PUT", "/api/runs/act-3/environment/k", { value: 3, ifRevision: 1 });
    expect(stale.body).toMatchObject({ applied: false, conflict: { revision: first.body.revision } });
    expect((await get("/api/runs/act-3/environment/k")).body.value).toBe(2);
    stage.open("act-3");
    await ended("act-3");
  });

  it("a key has an address whatever it is called, with a value or without", async () => {
    const keys = ["events", "history", "keys", "plain"];
    const submission = {
      run: "act-5",
      workflow: { steps: [{ id: "a", agent: "worker", task: "work" }] },
      environment: { events: 1, history: 2, keys: 3 },
    };
    await write("POST", "/api/runs", submission);
    await ended("act-5");
    for (const [index, key] of keys.slice(0, 3).entries())
      expect((await get(`/api/runs/act-5/environment/keys/${key}`)).body).toMatchObject({
        key,
        value: index + 1,
      });
    expect((await get("/api/runs/act-5/environment/keys/plain")).status).toBe(404);
    expect(
      (await get("/api/runs/act-5/environment/history")).body.changes.map(({ key }: Loose) => key),
    ).toEqual(["events", "history", "keys"]);
  });

  it("a large value travels by reference, and is given in full when asked for", async () => {
    const step = {
      id: "big",
      agent: "worker",
      task: "large",
      inputs: { bytes: 400_000 },
      outputs: ["large"],
    };
    await finished("act-4", { steps: [step] });
    const { body } = await get("/api/runs/act-4/environment");
    const name = body.values.large.$artifact.name as string;
    expect(body.values.large.$artifact.holds).toBe("value");
    expect((await get("/api/runs/act-4/environment/large")).body.value).toHaveLength(400_000);
    const { body: value } = await get(`/api/runs/act-4/artifacts/${name.split("/")[1]}?as=value`);
    expect(value).toHaveLength(400_000);
  });
});

describe("live", () => {
  /** Every transition that the events brought, and where they ended. */
  function collect(events: { data: unknown }[]): { transitions: Transition[]; seq: number } {
    const records = events.map(({ data }) => data as RecordsEvent);
    return { transitions: records.flatMap(({ transitions }) => transitions), seq: records.at(-1)?.seq ?? 0 };
  }

  it("the environment is told change by change, whole, and goes on where a client was", async () => {
    const step = (id: string, inputs: object, more: object = {}) => ({
      ...{ id, agent: "worker", inputs, outputs: ["made"], ...more },
    });
    const steps = [
      step("a", { give: { made: 1, more: 2 } }, { task: "work", outputs: ["made", "more"] }),
      step("b", { gate: "env-live", give: { made: 3 } }, { task: "hold", dependsOn: ["a"] }),
      step("c", { bytes: 300_000 }, { task: "large", dependsOn: ["b"], outputs: ["large"] }),
    ];
    await write("POST", "/api/runs", { run: "env-live", workflow: { steps }, environment: { seed: "x" } });
    await stage.held("env-live");
    const events = `${stage.url}/api/runs/env-live/environment/events`;
    const reader = await EventReader.open(events);
    const first = [await reader.next(), await reader.next()];
    expect(
      first.map(({ data }) => (data as EnvironmentEvent).changes.map(({ key, value }) => [key, value])),
    ).toEqual([
      [["seed", "x"]],
      [
        ["made", 1],
        ["more", 2],
      ],
    ]);
    expect(first.map(({ id }) => id)).toEqual(
      first.map(({ data }) => String((data as EnvironmentEvent).revision)),
    );
    expect(await reader.next()).toMatchObject({ event: "ready" });
    reader.close();
    stage.open("env-live");
    const back = await EventReader.open(events, { "last-event-id": first[1]?.id ?? "" });
    const later = [await back.until(isChange), await back.until(isChange)];
    back.close();
    expect(later.map(({ data }) => (data as EnvironmentEvent).changes.map(({ key }) => key))).toEqual([
      ["made"],
      ["large"],
    ]);
    expect(later[1]?.data).toMatchObject({ changes: [{ value: "x".repeat(300_000) }] });
    const one = await EventReader.open(`${events}?key=more`);
    expect((await one.next()).data).toMatchObject({ changes: [{ key: "more", writer: { step: "a" } }] });
    expect(await one.next()).toMatchObject({ event: "ready" });
    one.close();
  });

  it("a client that comes back misses nothing and gets nothing twice", async () => {
    const steps = Array.from({ length: 12 }, (_, i) => ({
      id: `s${i}`,
      agent: "worker",
      task: i % 4 === 3 ? "hold" : "work",
      inputs: i % 4 === 3 ? { gate: `live-1-${i}` } : {},
      ...(i === 0 ? {} : { dependsOn: [`s${i - 1}`] }),
    }));
    await write("POST", "/api/runs", { run: "live-1", workflow: { steps } });
    const got: { data: unknown }[] = [];
    let last: string | undefined;
    for (const i of [3, 7, 11]) {
      const reader = await EventReader.open(
        `${stage.url}/api/runs/live-1/events`,
        last === undefined ? {} : { "last-event-id": last },
      );
      await stage.held(`live-1-${i}`);
      // Cut in the middle of the run, where a record is sure to come next.
      for (;;) {
        const event = await reader.until(({ event }) => event === "records");
        got.push(event);
        last = event.id;
        if (
          (event.data as RecordsEvent).transitions.some(
            ({ actor, to }) => actor === `s${i}` && to === "running",
          )
        )
          break;
      }
      reader.close();
      stage.open(`live-1-${i}`);
    }
    const reader = await EventReader.open(`${stage.url}/api/runs/live-1/events?after=${last}`);
    for (;;) {
      const event = await reader.until(({ event }) => event === "records");
      got.push(event);
      if ((event.data as RecordsEvent).status === "done") break;
    }
    reader.close();
    const { body } = await get("/api/runs/live-1/transitions");
    expect(collect(got).transitions).toEqual(body.transitions);
    expect(collect(got).seq).toBe(body.seq);
  });

  it("progress and partial output are told while the step runs", async () => {
    await write("POST", "/api/runs", {
      run: "live-2",
      workflow: {
        steps: [
          { id: "first", agent: "worker", task: "hold", inputs: { gate: "live-2-a" } },
          { id: "then", agent: "worker", task: "hold", inputs: { gate: "live-2-b" }, dependsOn: ["first"] },
        ],
      },
    });
    const reader = await EventReader.open(`${stage.url}/api/runs/live-2/events`);
    await reader.until(({ event }) => event === "ready");
    await stage.held("live-2-a");
    stage.open("live-2-a");
    const messages: unknown[] = [];
    while (messages.length < 2) {
      const { data } = await reader.until(({ event }) => event === "live");
      const live = (data as { messages: { step: string }[] }).messages;
      messages.push(...live.filter(({ step }) => step === "then"));
    }
    reader.close();
    expect(messages).toMatchObject([
      { type: "progress", fraction: 0.5, message: "waiting at the gate", agent: "worker-1" },
      { type: "chunk", data: { text: "half way" } },
    ]);
    stage.open("live-2-b");
    await ended("live-2");
  });

  it("who watches the swarm is told its runs, agents and queues, and a new run", async () => {
    const reader = await EventReader.open(`${stage.url}/api/events`);
    const { data } = await reader.until(({ event }) => event === "swarm");
    expect((data as Loose).agents.map(({ id }: { id: string }) => id).sort()).toEqual([
      "helper-1",
      "worker-1",
    ]);
    expect((data as Loose).roles.map(({ role }: { role: string }) => role).sort()).toEqual([
      "helper",
      "worker",
    ]);
    await finished("live-3", twoSteps);
    await reader.until(({ data }) =>
      (data as Loose).runs?.some(({ run }: { run: string }) => run === "live-3"),
    );
    reader.close();
  });
});

describe("what happened, in detail", () => {
  it("a step that was passed on and one that failed keep every dispatch", async () => {
    await finished("detail-1", {
      steps: [
        { id: "p", agent: "worker", task: "pass", outputs: ["passed"] },
        {
          id: "f",
          agent: "worker",
          task: "fail",
          onFailure: "continue",
          retry: { maxAttempts: 2, initial: "1ms", jitter: 0 },
        },
      ],
    });
    const { body: passed } = await get("/api/runs/detail-1/steps/p");
    expect(passed.dispatches).toMatchObject([
      { n: 1, role: "worker", end: "hand off", handoff: { role: "helper", reason: "not my trade" } },
      { n: 2, role: "helper", end: "complete", outputs: { passed: 1 } },
    ]);
    const { body: failed } = await get("/api/runs/detail-1/steps/f");
    expect(failed.dispatches.map(({ end, error }: Loose) => [end, error.message])).toEqual([
      ["fail", "it went wrong on purpose"],
      ["fail", "it went wrong on purpose"],
    ]);
    const { body: tasks } = await get("/api/tasks");
    expect(tasks.tasks.find(({ task }: { task: string }) => task === "fail").failed).toBeGreaterThanOrEqual(
      2,
    );
  });
});

describe("what is wrong is told as a problem with its code and remedy", () => {
  const cases: [string, string, string, unknown, number, string][] = [
    ["no such run", "GET", "/api/runs/nobody/head", undefined, 404, "E_RUN_NOT_FOUND"],
    ["no such step", "GET", "/api/runs/wrong-1/steps/zz", undefined, 404, "E_STEP_NOT_FOUND"],
    ["no such key", "GET", "/api/runs/wrong-1/environment/zz", undefined, 404, "E_KEY_NOT_FOUND"],
    ["a run id that is none", "GET", "/api/runs/a.b/head", undefined, 400, "E_RUN_ID"],
    ["a place that is none", "GET", "/api/runs/wrong-1?at=yesterday", undefined, 400, "E_AT"],
    ["a place before the run", "GET", "/api/runs/wrong-1?at=0", undefined, 400, "E_SEQUENCE"],
    ["a limit out of bounds", "GET", "/api/runs?limit=0", undefined, 400, "E_REQUEST"],
    ["a status that is none", "GET", "/api/runs?status=over", undefined, 400, "E_REQUEST"],
    ["a body that is no JSON", "POST", "/api/runs", "{", 400, "E_JSON"],
    ["an unknown field", "POST", "/api/runs", { workflows: {} }, 400, "E_REQUEST"],
    ["nothing to run", "POST", "/api/runs", {}, 400, "E_NOTHING_TO_RUN"],
    ["an id that is taken", "POST", "/api/runs", { run: "wrong-1", workflow: twoSteps }, 409, "E_RUN_EXISTS"],
    [
      "a cycle",
      "POST",
      "/api/runs",
      { workflow: { steps: [{ id: "a", agent: "w", task: "t", dependsOn: ["a"] }] } },
      422,
      "E_SELF_DEPENDENCY",
    ],
    ["an unknown verb", "POST", "/api/runs/wrong-1/controls", { verb: "explode" }, 400, "E_REQUEST"],
    ["a body too large", "POST", "/api/runs", `"${"x".repeat(5_000_000)}"`, 413, "E_REQUEST_TOO_LARGE"],
    ["a method that is none", "PUT", "/api/runs", {}, 405, "E_METHOD"],
    ["an address that is none", "GET", "/api/nothing", undefined, 404, "E_NO_PAGE"],
  ];
  beforeAll(() => finished("wrong-1", twoSteps));

  it.each(cases)("%s", async (_name, method, path, body, status, code) => {
    const answer = body === undefined ? await get(path) : await write(method, path, body);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(answer.body).toMatchObject({ type: "about:blank", status, detail: expect.stringMatching(/\w/) });
  });
});

describe("pages of other sites", () => {
  const host = () => new URL(stage.url).host;

  it("under a name that was pointed here cannot read", async () => {
    const { status, body } = await raw("/api/runs", { host: "evil.example" });
    expect([status, body.code]).toEqual([403, "E_HOST"]);
  });

  it("cannot read with their origin, nor write", async () => {
    expect((await raw("/api/runs", { host: host(), origin: "https://evil.example" })).status).toBe(403);
    const headers = { host: host(), origin: "https://evil.example", "content-type": "application/json" };
    expect((await raw("/api/runs", headers, "POST")).body.code).toBe("E_ORIGIN");
  });

  it("cannot write by a form, which sends no JSON", async () => {
    const headers = { host: host(), "content-type": "text/plain" };
    expect((await raw("/api/runs", headers, "POST")).body.code).toBe("E_CONTENT_TYPE");
  });

  it("the daemon's own page may", async () => {
    const { status } = await raw("/api/runs", { host: host(), origin: `http://${host()}` });
    expect(status).toBe(200);
  });
});

describe("the token", () => {
  it("is asked of all but health, taken as bearer, and kept in a cookie that scripts cannot read", async () => {
    const guarded = await openHttpStage({ httpToken: "s3cret" });
    try {
      const at = (path: string, headers: Record<string, string> = {}) =>
        fetch(`${guarded.url}${path}`, { headers });
      expect((await at("/healthz")).status).toBe(200);
      const refused = await at("/api/runs");
      expect([refused.status, refused.headers.get("www-authenticate")]).toEqual([
        401,
        expect.stringContaining("Bearer"),
      ]);
      expect((await at("/api/runs", { authorization: "Bearer wrong" })).status).toBe(401);
      expect((await at("/api/runs", { authorization: "Bearer s3cret" })).status).toBe(200);
      const session = await fetch(`${guarded.url}/api/session`, {
        method: "POST",
        headers: JSON_HEADERS,
        body: JSON.stringify({ token: "s3cret" }),
      });
      const cookie = session.headers.get("set-cookie") ?? "";
      expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
      expect((await at("/api/runs", { cookie: cookie.split(";")[0] ?? "" })).status).toBe(200);
    } finally {
      await guarded.stop();
    }
  });
});
