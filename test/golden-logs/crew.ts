/** The agents of the golden runs: they do what a step's inputs say, the same in every version. */
import { setTimeout as wait } from "node:timers/promises";
import type { AgentDefinition, TaskContext } from "../../src/agent/define.ts";
import { defineAgent } from "../../src/agent/define-agent.ts";

interface Orders {
  give?: Record<string, unknown>;
  /** Fails, retryable, at so many attempts. */
  failures?: number;
  /** Fails for good. */
  hopeless?: boolean;
  /** Gives the step away. */
  handTo?: string;
  /** Sets this key in mid-step. */
  midway?: string;
  /** Never ends, while the crew is told to hold. */
  hold?: boolean;
}

/** @param mayHold false: steps that are to be held end at once, as when the run is finished later */
export function goldenCrew(mayHold: boolean): AgentDefinition[] {
  const make = async (inputs: unknown, ctx: TaskContext) => {
    const { give = {}, failures = 0, hopeless, handTo, midway, hold } = inputs as Orders;
    if (hold && mayHold) await wait(600_000, undefined, { signal: ctx.signal });
    if (ctx.attempt <= failures) throw new Error(`not at attempt ${ctx.attempt}`);
    if (hopeless) throw Object.assign(new Error("never"), { name: "NonRetryableError", retryable: false });
    if (handTo !== undefined) return ctx.handoff(handTo, "make", { give }, "not mine");
    if (midway !== undefined) await ctx.env.set(midway, "set in mid-step");
    return give;
  };
  const task = { description: "makes what it is told", run: make };
  const planned = {
    description: "finds the answer",
    needs: ["question"],
    gives: ["answer"],
    run: async () => ({ answer: 42 }),
  };
  return [
    defineAgent({ role: "maker", description: "makes", tasks: { make: task, answer: planned } }),
    defineAgent({ role: "other", description: "makes, too", tasks: { make: task } }),
  ];
}
