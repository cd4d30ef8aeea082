/**
 * One dispatch after the other in one agent process. Catches: an ack before its result, a result lost while
 * the broker is away, work that runs although it should not, and errors that do not say what is wrong.
 */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { MAX_ERROR_MESSAGE_BYTES } from "../../src/agent/outcome.ts";
import type { Bus } from "../../src/bus/bus.ts";
import { NonRetryableError, UnreachableError } from "../../src/workflow/errors.ts";
import { gate, RUN, setStage, settle } from "./stage.ts";

describe("a dispatch that goes well", () => {
  it("reports what the task returned, under the agent's id and with both times", async () => {
    const stage = await setStage({ tasks: { work: { run: ({ a }: { a: number }) => ({ twice: a * 2 }) } } });
    const task = await stage.push({ inputs: { a: 21 } });
    expect(stage.results).toEqual([
      expect.objectContaining({
        role: "worker",
        run: RUN,
        step: task.step,
        n: 1,
        agent: "agent-1",
        status: "done",
        outputs: { twice: 42 },
        startedAt: stage.clock.now(),
        endedAt: stage.clock.now(),
      }),
    ]);
    expect(await stage.daemonBus.tasks.has(task)).toBe(false);
  });

  it("announces that it started before its code runs", async () => {
    const running = gate();
    const stage = await setStage({ tasks: { work: { run: () => running.promise } } });
    const { step } = await stage.push();
    expect(stage.live).toEqual([
      expect.objectContaining({ type: "started", step, n: 1, role: "worker", agent: "agent-1" }),
    ]);
    expect(stage.results).toEqual([]);
    running.open();
  });

  it("does not announce a task that is known to end at once, unless it still runs a moment later", async () => {
    const running = gate<Record<string, unknown>>();
    const tasks = { work: { run: ({ slow }: { slow?: boolean }) => (slow ? running.promise : {}) } };
    const stage = await setStage({ tasks });
    const announced = () => stage.live.filter(({ type }) => type === "started").map(({ step }) => step);
    const first = await stage.push();
    await stage.push();
    expect(announced()).toEqual([first.step]);
    const slow = await stage.push({ inputs: { slow: true } });
    expect(announced()).toEqual([first.step]);
    await stage.clock.advance(10);
    expect(announced()).toEqual([first.step, slow.step]);
    running.open({});
  });

  it("keeps outputs that no step declared", async () => {
    const stage = await setStage({ tasks: { work: { run: () => ({ wanted: 1, extra: 2 }) } } });
    await stage.push({ outputs: ["wanted"] });
    expect(stage.results[0]?.outputs).toEqual({ wanted: 1, extra: 2 });
  });

  it("gives the task its inputs as its schema parsed them", async () => {
    const inputs = z.object({ limit: z.number().default(10) });
    const stage = await setStage({ tasks: { work: { inputs, run: (given: unknown) => ({ given }) } } });
    await stage.push();
    expect(stage.results[0]?.outputs).toEqual({ given: { limit: 10 } });
  });

  it("adds up what the task says it spent", async () => {
    const stage = await setStage({
      tasks: {
        work: {
          run: (_inputs: unknown, ctx) => {
            ctx.usage({ tokens: 5 });
            ctx.usage({ tokens: 7, usd: 0.5 });
            return {};
          },
        },
      },
    });
    await stage.push();
    expect(stage.results[0]?.usage).toEqual({ tokens: 12, usd: 0.5 });
  });

  it("hands its step over with the reason", async () => {
    const stage = await setStage({
      tasks: {
        work: { run: (_inputs: unknown, ctx) => ctx.handoff("expert", "solve", { hard: true }, "too hard") },
      },
    });
    await stage.push();
    expect(stage.results[0]).toMatchObject({
      status: "handoff",
      handoff: { role: "expert", task: "solve", inputs: { hard: true }, reason: "too hard" },
    });
  });

  it("gives along what it learnt, and knows who held the step before", async () => {
    const seen: unknown[] = [];
    const stage = await setStage({
      tasks: {
        work: {
          run: (_inputs: unknown, ctx) => {
            seen.push(ctx.hops, ctx.iteration);
            return ctx.handoff("expert", "solve", {}, "too hard", { tried: ["easy"] });
          },
        },
      },
    });
    const hops = [{ role: "novice", task: "try", agent: "n-1", reason: "new to me", usage: { tokens: 3 } }];
    await stage.push({ iteration: 2, handoff: { from: [], reason: "new to me", hops } });
    expect(stage.results[0]?.handoff).toMatchObject({ role: "expert", notes: { tried: ["easy"] } });
    expect(seen).toEqual([hops, 2]);
  });

  it.each([
    ["too large to travel", "x".repeat(20_000), /bytes, the bound is 16384/],
    ["nothing that can be encoded", () => undefined, /cannot be encoded/],
  ])("fails a handoff whose notes are %s", async (_what, notes, message) => {
    const stage = await setStage({
      tasks: { work: { run: (_inputs: unknown, ctx) => ctx.handoff("expert", "solve", {}, "", notes) } },
    });
    await stage.push();
    expect(stage.results[0]).toMatchObject({ status: "failed", error: { code: "E_NOTES" } });
    expect(stage.results[0]?.error?.message).toMatch(message);
  });

  it("sends at most the newest progress of an interval, and the last before its result", async () => {
    const running = gate();
    const stage = await setStage({
      tasks: {
        work: {
          run: async (_inputs: unknown, ctx) => {
            for (let percent = 1; percent <= 50; percent++) ctx.progress(percent / 100, `${percent}%`);
            await running.promise;
            ctx.progress(7);
          },
        },
      },
    });
    await stage.push();
    await stage.clock.advance(100);
    running.open();
    await settle();
    const progress = stage.live.filter(({ type }) => type === "progress");
    expect(progress.map(({ fraction }) => fraction)).toEqual([0.01, 0.5, 1]);
  });
});

describe("a dispatch whose work is wrong", () => {
  const failing = async (run: () => unknown) => {
    const stage = await setStage({ tasks: { work: { run: run as () => never } } });
    await stage.push();
    expect(stage.results).toHaveLength(1);
    expect(stage.results[0]?.status).toBe("failed");
    return stage.results[0]?.error;
  };

  it("reports an error thrown later, to be tried again", async () => {
    const error = await failing(async () => {
      throw new TypeError("no such column");
    });
    expect(error).toEqual({ name: "TypeError", message: "no such column", retryable: true });
  });

  it("reports an error thrown synchronously the same way", async () => {
    const error = await failing(() => {
      throw new Error("at once");
    });
    expect(error).toMatchObject({ message: "at once", retryable: true });
  });

  it("does not have a NonRetryableError tried again, whichever copy of the class it is", async () => {
    class Foreign extends Error {
      override readonly name = "NonRetryableError";
    }
    const own = async () => {
      throw new NonRetryableError("never");
    };
    const foreign = async () => {
      throw new Foreign("never");
    };
    class Renamed extends NonRetryableError {}
    const renamed = async () => {
      const error = new Renamed("never");
      Object.defineProperty(error, "name", { value: "NoSuchCustomer" });
      throw error;
    };
    expect(await failing(renamed)).toMatchObject({ name: "NoSuchCustomer", retryable: false });
    expect(await failing(own)).toMatchObject({ retryable: false });
    expect(await failing(foreign)).toMatchObject({ retryable: false });
  });

  it.each([
    ["a string", "just text", /the task threw "just text"/],
    ["undefined", undefined, /the task threw undefined/],
    ["an object without a text", Object.create(null), /the task threw a object that has no text/],
  ])("says what was thrown when it was %s", async (_what, thrown, message) => {
    const error = await failing(async () => {
      throw thrown;
    });
    expect(error?.message).toMatch(message);
  });

  it("bounds an error's text on the wire and keeps the stack to its own log", async () => {
    const stage = await setStage({
      tasks: {
        work: {
          run: () => {
            throw new Error("ü".repeat(100_000));
          },
        },
      },
    });
    await stage.push();
    const message = stage.results[0]?.error?.message ?? "";
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(MAX_ERROR_MESSAGE_BYTES);
    expect(message).toMatch(/^ü+… \(cut\)$/);
    expect(JSON.stringify(stage.results)).not.toContain("dispatch.test.ts");
    expect(JSON.stringify(stage.logLines)).toContain("dispatch.test.ts");
  });

  it.each([
    ["a function", () => ({ model: { predict: () => 1 } }), /^model\.predict cannot travel: a function/],
    ["a cycle", cyclic, /contains itself/],
    ["a BigInt beyond what numbers hold", () => ({ big: 2n ** 70n }), /big.*BigInt/],
    ["a Map", () => ({ map: new Map() }), /map.*Map/],
  ])(
    "fails with E_OUTPUT_ENCODING, naming the place, when the output holds %s",
    async (_what, run, message) => {
      const error = await failing(run);
      expect(error).toMatchObject({ code: "E_OUTPUT_ENCODING", retryable: false });
      expect(error?.message).toMatch(message);
    },
  );

  it.each([
    ["a number", () => 7, /returned a number/],
    ["an array", () => [1], /returned an array/],
  ])("wants an object of outputs, not %s", async (_what, run, message) => {
    const error = await failing(run);
    expect(error).toMatchObject({ code: "E_OUTPUT_SCHEMA", retryable: false });
    expect(error?.message).toMatch(message);
  });

  it("names the path of an input that does not match, without running", async () => {
    let ran = false;
    const inputs = z.object({ rows: z.array(z.object({ id: z.number() })) });
    const stage = await setStage({
      tasks: {
        work: {
          inputs,
          run: () => {
            ran = true;
            return {};
          },
        },
      },
    });
    await stage.push({ inputs: { rows: [{ id: 1 }, { id: "two" }] } });
    expect(stage.results[0]?.error).toMatchObject({ code: "E_INPUT_SCHEMA", retryable: false });
    expect(stage.results[0]?.error?.message).toMatch(/^inputs\.rows\.1\.id: .*number/);
    expect(ran).toBe(false);
  });

  it("names the path of an output that does not match", async () => {
    const outputs = z.object({ score: z.number() });
    const stage = await setStage({ tasks: { work: { outputs, run: () => ({ score: "high" }) } } });
    await stage.push();
    expect(stage.results[0]?.error).toMatchObject({ code: "E_OUTPUT_SCHEMA", retryable: false });
    expect(stage.results[0]?.error?.message).toMatch(/^outputs\.score: /);
  });

  it("names the tasks that there are when it is given one that it has not", async () => {
    const stage = await setStage({ tasks: { work: { run: () => ({}) }, rest: { run: () => ({}) } } });
    await stage.push({ task: "constructor" });
    expect(stage.results[0]?.error).toMatchObject({ code: "E_UNKNOWN_TASK", retryable: false });
    expect(stage.results[0]?.error?.message).toBe(
      'role "worker" has no task "constructor"; it has: work, rest',
    );
  });
});

describe("large values", () => {
  it("travel by reference and arrive as they were", async () => {
    const text = "x".repeat(600_000);
    const stage = await setStage({
      tasks: { work: { run: ({ text: given }) => ({ text: given ?? text, small: 1 }) } },
    });
    await stage.push();
    const outputs = stage.results[0]?.outputs;
    expect(outputs).toEqual({ text: { $artifact: expect.objectContaining({ holds: "value" }) }, small: 1 });
    await stage.push({ inputs: { text: outputs?.text } });
    expect(stage.results[1]?.outputs).toEqual({
      text: { $artifact: expect.objectContaining({ holds: "value" }) },
      small: 1,
    });
    const seen = stage.results[1]?.outputs?.text as Parameters<typeof stage.daemonBus.artifacts.get>[0];
    expect(seen.$artifact.bytes).toBeGreaterThan(600_000);
  });

  it("together stay below the broker's bound, though each alone is small enough", async () => {
    const outputs = Object.fromEntries(
      Array.from({ length: 8 }, (_, index) => [`part${index}`, "y".repeat(200_000)]),
    );
    const stage = await setStage({ tasks: { work: { run: () => outputs } } });
    await stage.push();
    expect(stage.results[0]?.status).toBe("done");
    const kept = Object.values(stage.results[0]?.outputs ?? {}).filter((value) => typeof value === "string");
    expect(kept).toHaveLength(2);
  });

  it("leave a file that a task stored on purpose as a reference", async () => {
    const stage = await setStage({
      tasks: {
        work: {
          run: async ({ file }: { file?: Parameters<Bus["artifacts"]["get"]>[0] }, ctx) =>
            file === undefined
              ? { file: await ctx.artifacts.put(new Uint8Array([1, 2, 3])) }
              : { bytes: [...(await ctx.artifacts.get(file))] },
        },
      },
    });
    await stage.push();
    await stage.push({ inputs: { file: stage.results[0]?.outputs?.file } });
    expect(stage.results[1]?.outputs).toEqual({ bytes: [1, 2, 3] });
  });

  it("that are gone fail the dispatch for good, naming the artifact", async () => {
    const stage = await setStage({ tasks: { work: { run: () => ({}) } } });
    await stage.push({ inputs: { data: { $artifact: { name: "gone", bytes: 9, holds: "value" } } } });
    expect(stage.results[0]?.error).toMatchObject({ retryable: false });
    expect(stage.results[0]?.error?.message).toContain("gone");
  });
});

describe("a delivery that may be a second one", () => {
  /** Makes the worker's first delivery vanish with its process, so that the next one is a redelivery. */
  async function redelivered(options: { answer?: { open: boolean }; times?: number }) {
    let runs = 0;
    const stage = await setStage({
      agents: [{ role: "other", tasks: { none: { run: () => ({}) } } }],
      ...(options.answer === undefined ? {} : { answer: () => options.answer }),
    });
    await stage.daemonBus.tasks.ensureRole({ role: "worker", ackWaitMs: 3_000 });
    const task = await stage.push();
    for (let time = 0; time < (options.times ?? 1); time++) {
      const delivered = gate();
      const puller = stage.daemonBus.tasks.pull("worker", {
        slots: () => 1,
        onDelivery: () => delivered.open(),
      });
      await delivered.promise;
      await puller.stop();
      await stage.clock.advance(3_000);
    }
    const run = () => {
      runs++;
      return {};
    };
    await stage.join([{ role: "worker", tasks: { work: { run } } }], { id: "agent-2" });
    return { stage, task, runs: () => runs };
  }

  it("is acked without running when its dispatch is closed", async () => {
    const { stage, task, runs } = await redelivered({ answer: { open: false } });
    expect(stage.questions).toEqual([{ q: "open" }]);
    expect(runs()).toBe(0);
    expect(stage.results).toEqual([]);
    expect(await stage.daemonBus.tasks.has(task)).toBe(false);
  });

  it("runs when its dispatch is open", async () => {
    const { stage, runs } = await redelivered({ answer: { open: true } });
    expect(runs()).toBe(1);
    expect(stage.results[0]?.status).toBe("done");
  });

  it("runs when nobody answers in time", async () => {
    const { stage, runs } = await redelivered({});
    expect(runs()).toBe(0);
    await stage.clock.advance(2_000);
    expect(runs()).toBe(1);
  });

  it("fails as E_POISON without running once it was delivered more than five times", async () => {
    const { stage, task, runs } = await redelivered({ answer: { open: true }, times: 5 });
    expect(runs()).toBe(0);
    expect(stage.results[0]?.error).toMatchObject({ code: "E_POISON", retryable: false });
    expect(stage.results[0]?.error?.message).toContain("delivered 6 times, the bound is 5");
    expect(await stage.daemonBus.tasks.has(task)).toBe(false);
  });
});

describe("a deadline", () => {
  it("that has passed is a reason to ask, and a closed dispatch is not run", async () => {
    let runs = 0;
    const stage = await setStage({
      tasks: {
        work: {
          run: () => {
            runs++;
            return {};
          },
        },
      },
      answer: () => ({ open: false }),
    });
    const task = await stage.push({ deadline: stage.clock.now() - 1 });
    expect(stage.questions).toEqual([{ q: "open" }]);
    expect(runs).toBe(0);
    expect(await stage.daemonBus.tasks.has(task)).toBe(false);
  });

  it("that has passed by this machine's clock only does not stop an open dispatch", async () => {
    const stage = await setStage({
      tasks: { work: { run: (_inputs: unknown, ctx) => ({ aborted: ctx.signal.aborted }) } },
      answer: () => ({ open: true }),
    });
    await stage.push({ deadline: stage.clock.now() - 3_600_000 });
    expect(stage.results[0]?.outputs).toEqual({ aborted: false });
  });

  it("that passes while the task runs fires its signal and fails the dispatch, to be tried again", async () => {
    const stage = await setStage({ tasks: { work: { run: untilAborted } } });
    await stage.push({ deadline: stage.clock.now() + 500 });
    await stage.clock.advance(500);
    expect(stage.results[0]?.error).toMatchObject({ code: "E_DEADLINE", retryable: true });
  });

  it("of the task's own definition counts from its start", async () => {
    const stage = await setStage({ tasks: { work: { timeout: "2s", run: untilAborted } } });
    await stage.push();
    await stage.clock.advance(1_999);
    expect(stage.results).toEqual([]);
    await stage.clock.advance(1);
    expect(stage.results[0]?.error).toMatchObject({ code: "E_TASK_TIMEOUT", retryable: true });
    expect(stage.results[0]?.error?.message).toContain("2s");
  });

  it("a task that ignores its signal is given up after its grace, and its late end changes nothing", async () => {
    const deaf = gate<object>();
    const stage = await setStage({
      tasks: { work: { timeout: "1s", run: () => deaf.promise as Promise<never> } },
    });
    await stage.push();
    await stage.clock.advance(1_000 + 4_999);
    expect(stage.results).toEqual([]);
    await stage.clock.advance(1);
    expect(stage.results[0]?.error).toMatchObject({ code: "E_TASK_TIMEOUT" });
    expect(stage.results[0]?.error?.message).toContain("did not stop within 5000 ms");
    deaf.open({ late: true });
    await settle();
    expect(stage.results).toHaveLength(1);
  });

  it("leaves no timer behind when the task ends in time", async () => {
    const stage = await setStage({ tasks: { work: { timeout: "1h", run: () => ({}) } } });
    const before = stage.clock.pending();
    await stage.push({ deadline: stage.clock.now() + 60_000 });
    expect(stage.results).toHaveLength(1);
    expect(stage.clock.pending()).toBe(before);
  });
});

describe("a cancel request", () => {
  it("is answered once the work has stopped, which is then reported as cancelled for good", async () => {
    const stage = await setStage({ tasks: { work: { run: untilAborted } } });
    const task = await stage.push();
    const answered = stage.daemonBus.live.cancel(task, "no longer needed", 10_000);
    await settle();
    expect(await answered).toBe(true);
    expect(stage.results[0]?.error).toMatchObject({ code: "E_CANCELLED", retryable: false });
    expect(stage.results[0]?.error?.message).toContain("no longer needed");
  });

  it("for a dispatch that this agent does not hold is left to others", async () => {
    const stage = await setStage({ tasks: { work: { run: untilAborted } } });
    const { run, role, step } = await stage.push();
    const answered = stage.daemonBus.live.cancel({ run, role, step, n: 2 }, "another one", 1_000);
    await stage.clock.advance(1_000);
    expect(await answered).toBe(false);
    expect(stage.results).toEqual([]);
  });
});

describe("while the broker is out of reach", () => {
  /** Makes the agent's appends fail until `reachable`. */
  function awayUntil(): { tamper: (bus: Bus) => Bus; reach: () => void; tries: () => number } {
    let away = true;
    let tries = 0;
    return {
      reach: () => {
        away = false;
      },
      tries: () => tries,
      tamper: (bus) => {
        const { log } = bus;
        const append: typeof log.append = async (...given) => {
          tries++;
          if (away) throw new UnreachableError("E_UNREACHABLE", "the broker does not answer");
          return log.append(...given);
        };
        return Object.create(bus, {
          log: { value: Object.create(log, { append: { value: append } }) },
        }) as Bus;
      },
    };
  }

  it("a finished result waits, its task stays held, and both arrive when it is back", async () => {
    const outage = awayUntil();
    const stage = await setStage({ tasks: { work: { run: () => ({ ok: true }) } }, tamper: outage.tamper });
    const task = await stage.push();
    await stage.clock.advance(60_000);
    expect(outage.tries()).toBeGreaterThan(5);
    expect(stage.results).toEqual([]);
    expect(await stage.daemonBus.tasks.has(task)).toBe(true);
    outage.reach();
    await stage.clock.advance(5_000);
    expect(stage.results).toHaveLength(1);
    expect(stage.results[0]?.outputs).toEqual({ ok: true });
    expect(await stage.daemonBus.tasks.has(task)).toBe(false);
  });

  it("is acked only after the result's append resolved", async () => {
    const stored = gate();
    const stage = await setStage({
      tasks: { work: { run: () => ({}) } },
      tamper: (bus) => {
        const { log } = bus;
        const append: typeof log.append = async (...given) => {
          const outcome = await log.append(...given);
          await stored.promise;
          return outcome;
        };
        return Object.create(bus, {
          log: { value: Object.create(log, { append: { value: append } }) },
        }) as Bus;
      },
    });
    const task = await stage.push();
    expect(stage.results).toHaveLength(1);
    expect(await stage.daemonBus.tasks.has(task)).toBe(true);
    stored.open();
    await settle();
    expect(await stage.daemonBus.tasks.has(task)).toBe(false);
  });

  it("a result that the broker refuses for its size becomes a failed one that says so", async () => {
    const stage = await setStage({
      tasks: { work: { run: () => ({ text: "z".repeat(100_000) }) } },
      maxPayloadBytes: 64 * 1024,
    });
    await stage.push();
    expect(stage.results[0]?.error).toMatchObject({ code: "E_PAYLOAD_TOO_LARGE", retryable: false });
  });
});

function cyclic(): object {
  const self: Record<string, unknown> = {};
  self.self = self;
  return self;
}

function untilAborted(_inputs: unknown, { signal }: { signal: AbortSignal }): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
