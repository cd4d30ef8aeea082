/**
 * The rights that docs/protocol.md lists, given to an agent on a real server. Catches: a right that is missing
 * from the list, and a list that lets an agent act for a role that is not its own.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Bus } from "../../src/bus/bus.ts";
import type { LiveMessage, ResultMessage } from "../../src/bus/messages.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";
import { findPython } from "../support/python.ts";

const page = readFileSync(new URL("../../docs/protocol.md", import.meta.url), "utf8");
const ROLE = "words";
const AGENT = "limited";

/** The listed rights of an agent, as the server's configuration wants them. */
function permissions(): string {
  const listed = /<!-- rights -->\n```\n([\s\S]*?)\n```/.exec(page)?.[1] ?? "";
  const subjects = (verb: string) =>
    listed
      .split("\n")
      .filter((line) => line.startsWith(verb))
      .flatMap((line) => line.slice(verb.length).trim().split(", "))
      .map((subject) =>
        subject.replaceAll("<swarm>", "main").replaceAll("<role>", ROLE).replaceAll("<id>", AGENT),
      )
      .map((subject) => JSON.stringify(subject));
  return `publish: [${subjects("publish").join(", ")}], subscribe: [${subjects("subscribe").join(", ")}], allow_responses: true`;
}

let nats: TestNats;
let bus: Bus;

beforeEach(async () => {
  const users = `{ user: daemon, password: d }, { user: agent, password: a, permissions: { ${permissions()} } }`;
  nats = await startTestNats({ config: `authorization { users: [${users}] }\nno_auth_user: daemon` });
  bus = await connectNatsBus({ url: nats.url, provision: true });
  bus.live.onHello(async ({ roles }) => ({
    ok: true,
    roles: await Promise.all(
      roles.map(({ role }) => bus.tasks.ensureRole({ role, encoding: "json", ackWaitMs: 1_000 })),
    ),
  }));
});

afterEach(async () => {
  await bus.close();
  await nats.stop();
});

describe("an agent with the rights that the protocol lists", () => {
  it("can do everything that its role asks of it", async () => {
    const asked = bus.live.onAsk(async () => ({ open: true }));
    const live: LiveMessage[] = [];
    bus.live.onLive(undefined, (message) => void live.push(message));
    const stored = new Promise<ResultMessage>((resolve) => {
      void bus.log.follow("r1", (record) => record.kind === "result" && resolve(record.body));
    });
    // Its first delivery is taken by somebody who vanishes, so that the agent has to ask.
    await bus.tasks.ensureRole({ role: ROLE, encoding: "json", ackWaitMs: 1_000 });
    const taken = new Promise<void>((resolve) => {
      const puller = bus.tasks.pull(ROLE, {
        slots: () => 1,
        onDelivery: (delivery) => {
          delivery.nak(1);
          void puller.stop().then(resolve);
        },
      });
    });
    await push(ROLE);
    await taken;
    const agent = await startPython(ROLE);
    await agent.ready;
    expect(await stored).toMatchObject({ agent: AGENT, status: "done", outputs: { words: 2 } });
    expect(live.map(({ type }) => type)).toEqual(["started", "progress"]);
    expect((await bus.presence.list()).map(({ id }) => id)).toEqual([AGENT]);
    asked.close();
    expect(await agent.end()).not.toMatch(/violation/i);
  });

  it("cannot take the work of another role", async () => {
    await bus.tasks.ensureRole({ role: "other", encoding: "json", ackWaitMs: 1_000 });
    await push("other");
    const agent = await startPython("other");
    await agent.refused;
    expect((await bus.tasks.roles()).find(({ role }) => role === "other")).toMatchObject({
      queued: 1,
      held: 0,
    });
    await agent.end();
  });
});

async function push(role: string): Promise<void> {
  await bus.tasks.push({
    v: 1,
    run: "r1",
    step: "a",
    n: 1,
    role,
    task: "count",
    inputs: { text: "two words" },
    attempt: 1,
    idempotencyKey: "r1:a",
    outputs: [],
  });
}

async function startPython(role: string) {
  const python = await findPython();
  const script = fileURLToPath(new URL("../../examples/python-agent/agent.py", import.meta.url));
  const url = nats.url.replace("nats://", "nats://agent:a@");
  const child = spawn(python.command, [script, "--nats", url, "--role", role, "--id", AGENT], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...python.env, PYTHONDONTWRITEBYTECODE: "1" },
  });
  let complaints = "";
  const ready = new Promise<void>((resolve) =>
    createInterface({ input: child.stdout }).once("line", () => resolve()),
  );
  const refused = new Promise<void>((resolve) => {
    child.stderr.on("data", (chunk) => {
      complaints += chunk;
      if (/violation/i.test(complaints)) resolve();
    });
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const end = async () => {
    child.kill("SIGTERM");
    await ended;
    return complaints;
  };
  return { ready, refused, end };
}
