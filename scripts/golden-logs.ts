/**
 * `npx tsx scripts/golden-logs.ts`: writes the golden logs that are not there yet, from real runs over a real
 * nats-server. Those that are there stay as they are. A new feature gets a scenario here, and thereby a file.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "nats";
import { pino } from "pino";
import { serveAgent } from "../src/agent/host.ts";
import type { Bus } from "../src/bus/bus.ts";
import type { ControlMessage, SubmitMessage } from "../src/bus/messages.ts";
import { connectNatsBus } from "../src/bus/nats/bus.ts";
import { systemClock } from "../src/bus/system-clock.ts";
import { productVersion } from "../src/cli/product-version.ts";
import { startDaemon } from "../src/daemon/daemon.ts";
import { goldenCrew } from "../test/golden-logs/crew.ts";
import { GOLDEN_FOLDER, type GoldenMessage, meaningOf, recordsOf } from "../test/golden-logs/golden-log.ts";
import { startTestNats } from "../test/support/nats.ts";

interface Scenario {
  submit: Omit<SubmitMessage, "v" | "inputs"> & { inputs?: Record<string, unknown> };
  /** What people do, once the results of these steps are in the log. */
  people?: { after: string[]; act: (bus: Bus, run: string) => Promise<unknown> }[];
  /** Kept as it is once the results of these steps are there, without an end. */
  halfAfter?: string[];
}

const step = (id: string, inputs: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  ...{
    id,
    agent: "maker",
    task: "make",
    inputs,
    outputs: Object.keys((inputs.give as object | undefined) ?? {}),
  },
  ...more,
});
const control =
  (verb: ControlMessage["verb"], more: Partial<ControlMessage> = {}) =>
  (bus: Bus, run: string) =>
    bus.log.append(run, { kind: "control", body: { v: 1, verb, by: "a person", ...more } });
const retry = { maxAttempts: 3, initial: "10ms", jitter: 0 };

const SCENARIOS: Record<string, Scenario> = {
  "all-record-kinds": {
    submit: {
      inputs: { start: 1 },
      workflow: {
        name: "kinds",
        steps: [
          step("a", { give: { a: 1 }, failures: 1 }, { retry }),
          step("b", { give: { b: [1, 2] }, handTo: "other" }, { dependsOn: ["a"] }),
          step("c", { give: { c: "x" }, midway: "m" }, { dependsOn: ["a"], outputs: ["c", "m"] }),
          step("d", { give: { d: 0 } }, { dependsOn: ["c"], when: "env.a > 5" }),
          step("e", { hopeless: true, give: { e: 1 } }, { dependsOn: ["b"], onFailure: "continue" }),
          step("f", { give: { f: 3 } }, { dependsOn: ["d", "e"] }),
        ],
        outputs: { last: "${env.f}", middle: "${env.m}" },
      },
    },
    people: [
      {
        after: ["a"],
        act: async (bus, run) => {
          await control("pause")(bus, run);
          const body = { v: 1, key: "said", value: { by: "hand" }, by: "a person" } as const;
          await bus.log.append(run, { kind: "env", body });
          await control("resume")(bus, run);
          await control("retry")(bus, run);
        },
      },
    ],
  },
  planned: { submit: { want: ["answer"], environment: { question: "which?" } } },
  "timed-out-and-tried-again": {
    submit: {
      workflow: {
        name: "late",
        steps: [
          step("a", { give: { a: 1 } }),
          step("b", {}, { agent: "nobody", dependsOn: ["a"], timeout: "300ms" }),
        ],
      },
    },
  },
  cancelled: {
    submit: {
      workflow: { name: "cancelled", steps: [step("a", { give: { a: 1 } }), step("b", { hold: true })] },
    },
    people: [{ after: ["a"], act: control("cancel") }],
  },
  "fan-out-and-repeat": {
    submit: {
      inputs: { list: [3, 1, 2] },
      workflow: {
        name: "loops",
        inputs: { list: [] },
        steps: [
          step("each", { give: { each: "${item}" } }, { forEach: "inputs.list" }),
          step(
            "again",
            { give: { again: "${iteration}" } },
            { dependsOn: ["each"], repeat: { until: "iteration >= 3", max: 5 } },
          ),
        ],
        outputs: { each: "${env.each}", again: "${env.again}" },
      },
    },
  },
  "half-of-a-diamond": {
    submit: {
      workflow: {
        name: "half",
        steps: [
          step("a", { give: { a: 1 }, failures: 1 }, { retry }),
          step("b", { give: { b: 2 }, hold: true }, { dependsOn: ["a"] }),
          step("c", { give: { c: 3 } }, { dependsOn: ["a"] }),
          step("d", { give: { d: 4 } }, { dependsOn: ["b", "c"] }),
        ],
        outputs: { all: "${[env.a, env.b, env.c, env.d]}" },
      },
    },
    halfAfter: ["c"],
  },
  "half-of-a-fan-out": {
    submit: {
      inputs: { list: ["quick", "slow"] },
      workflow: {
        name: "half-fan",
        inputs: { list: [] },
        steps: [
          step("each", { give: { each: "${index}" }, hold: "${item == 'slow'}" }, { forEach: "inputs.list" }),
          step("after", { give: { after: 9 } }, { dependsOn: ["each"] }),
        ],
        outputs: { each: "${env.each}", after: "${env.after}" },
      },
    },
    halfAfter: ["each~0"],
  },
};

const log = pino({ level: "silent" });
for (const [name, scenario] of Object.entries(SCENARIOS)) {
  const file = join(GOLDEN_FOLDER, `${name}.jsonl`);
  if (existsSync(file)) {
    process.stdout.write(`kept ${name}\n`);
    continue;
  }
  const messages = await live(name, scenario);
  const run = name;
  const expected = await meaningOf(run, recordsOf(run, messages));
  const head = { version: productVersion(), run, half: scenario.halfAfter !== undefined, expected };
  writeFileSync(file, `${[head, ...messages].map((line) => JSON.stringify(line)).join("\n")}\n`);
  process.stdout.write(`wrote ${name}: ${messages.length} messages\n`);
}
process.exit(0);

/** Runs the scenario in a swarm of its own. */
async function live(run: string, { submit, people = [], halfAfter }: Scenario): Promise<GoldenMessage[]> {
  const nats = await startTestNats();
  const target = { url: nats.url, token: nats.token };
  const daemon = await startDaemon({
    swarm: "main",
    store: nats.store,
    env: {},
    log,
    product: "0",
    nats: target,
  });
  const bus = await connectNatsBus(target);
  const about = { pid: 1, host: "golden", version: productVersion() };
  const agent = await serveAgent(goldenCrew(true), { bus, clock: systemClock, log, id: "golden-1", about });
  await agent.joined;
  const body = { v: 1 as const, inputs: {}, ...submit };
  await bus.log.append(run, { kind: "submit", body }, { expectLast: 0 });
  for (const { after, act } of people) {
    await reached(bus, run, after);
    await act(bus, run);
  }
  await reached(bus, run, halfAfter);
  // The next note of what was started belongs to a half run, too.
  if (halfAfter !== undefined) await new Promise((resolve) => setTimeout(resolve, 500));
  const messages = await stored(target, run);
  await agent.stop();
  await bus.close();
  await daemon.stop();
  await nats.stop();
  return messages;
}

/** Resolves when these steps have their results; without steps, when the run has ended. */
async function reached(bus: Bus, run: string, steps: string[] | undefined): Promise<void> {
  const missing = new Set(steps);
  await new Promise<void>((resolve) => {
    void bus.log.follow(run, (record) => {
      if (record.kind === "result" && record.body.status === "done") missing.delete(record.body.step);
      const ended = record.kind === "decision" && record.body.type === "end";
      if (steps === undefined ? ended : missing.size === 0) resolve();
    });
  });
}

async function stored(target: { url: string; token: string }, run: string): Promise<GoldenMessage[]> {
  const raw = await connect({ servers: target.url, token: target.token });
  const messages: GoldenMessage[] = [];
  for (let seq = 1; ; ) {
    const request = JSON.stringify({ next_by_subj: `dh.main.run.${run}.>`, seq });
    const answer = (await raw.request("$JS.API.STREAM.MSG.GET.dh_main_log", request)).json<{
      message?: { subject: string; seq: number; time: string; data: string };
    }>();
    const { message } = answer;
    if (message === undefined) break;
    seq = message.seq + 1;
    const { subject, time, data } = message;
    messages.push({ subject, seq: message.seq, ts: Date.parse(time), data });
  }
  await raw.close();
  return messages;
}
