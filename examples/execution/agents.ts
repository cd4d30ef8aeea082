/**
 * The agents of every workflow in this folder. Try:
 *
 *     datahammer run examples/execution/fan-out.yaml --agents examples/execution/agents.ts
 *
 * Each task is as small as it can be, so that the workflow shows what the runtime does.
 */
import { setTimeout } from "node:timers/promises";
import { defineAgent, NonRetryableError } from "datahammer";
import { z } from "zod";

class Stumbled extends Error {
  override readonly name = "Stumbled";
}

const worker = defineAgent({
  role: "worker",
  description: "Does small sums, and fails when it is told to.",
  tasks: {
    square: {
      inputs: z.object({ n: z.number() }),
      outputs: z.object({ square: z.number() }),
      run: ({ n }) => ({ square: n * n }),
    },
    sum: {
      inputs: z.object({ numbers: z.array(z.number().nullable()) }),
      outputs: z.object({ total: z.number() }),
      run: ({ numbers }) => ({ total: numbers.reduce((sum: number, n) => sum + (n ?? 0), 0) }),
    },
    double: {
      inputs: z.object({ number: z.number(), round: z.number() }),
      run: ({ number, round }) => ({ number: 2 * number, round }),
    },
    repeat: {
      inputs: z.object({ text: z.string(), times: z.number() }),
      outputs: z.object({ text: z.string() }),
      run: ({ text, times }) => ({ text: text.repeat(times) }),
    },
    // Gives what it is given.
    say: { run: (inputs) => inputs },
    // Takes its time, and says so if it is asked to; ends when it is told to stop.
    linger: {
      inputs: z.object({ ms: z.number(), beatMs: z.number().optional() }),
      async run({ ms, beatMs = ms }, ctx) {
        for (let left = ms; left > 0; left -= beatMs) {
          await setTimeout(Math.min(left, beatMs), undefined, { signal: ctx.signal });
          if (beatMs < ms) ctx.heartbeat();
        }
        return {};
      },
    },
    // Fails until the given attempt; 0: always, and says that trying again cannot help.
    stumble: {
      inputs: z.object({ until: z.number(), word: z.string() }),
      outputs: z.object({ word: z.string() }),
      run({ until, word }, ctx) {
        if (until === 0) throw new NonRetryableError("this can never work");
        if (ctx.attempt < until) throw new Stumbled(`attempt ${ctx.attempt} stumbles`);
        return { word };
      },
    },
    // Two ways to the same value, of which one is closed.
    "live-rate": {
      gives: ["rate"],
      run() {
        throw new NonRetryableError("the exchange does not answer");
      },
    },
    "kept-rate": { gives: ["rate"], run: () => ({ rate: 1.1 }) },
    // Knows its limits.
    guess: {
      run({ question }, ctx) {
        if (String(question).length < 20) return { answer: "42" };
        ctx.usage({ tokens: String(question).length });
        return ctx.handoff("expert", "look", { question }, "too long for me", { seen: "a long question" });
      },
    },
  },
});

const expert = defineAgent({
  role: "expert",
  description: "Is asked when others cannot go on.",
  tasks: {
    look: {
      run: ({ question }, ctx) => ctx.handoff("expert", "answer", { question }, "needs more than a look"),
    },
    answer: {
      outputs: z.object({ answer: z.string() }),
      run(_inputs, ctx) {
        const learnt = ctx.hops.map(
          ({ notes }) => (notes as { seen: string } | undefined)?.seen ?? "nothing",
        );
        return { answer: `${learnt.length} holders before me had seen: ${learnt.join(", ")}` };
      },
    },
  },
});

export default [worker, expert];
