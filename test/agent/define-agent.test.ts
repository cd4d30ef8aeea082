/**
 * Defining agents. Catches: a bad role or task that would only show at its first dispatch, and lost type
 * inference (the `@ts-expect-error` lines fail the type check when a wrong type is accepted).
 */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { AgentDefinition } from "../../src/agent/define.ts";
import { defineAgent } from "../../src/agent/define-agent.ts";
import { InvalidInputError } from "../../src/workflow/errors.ts";

/** A definition as a JavaScript author may write it, past the type checker. */
function fromJavaScript(definition: unknown): () => AgentDefinition {
  return () => defineAgent(definition as { role: string; tasks: Record<string, never> });
}

describe("defineAgent", () => {
  it("gives each task the types of its own schemas", async () => {
    const agent = defineAgent({
      role: "typed",
      tasks: {
        both: {
          inputs: z.object({ amount: z.number() }),
          outputs: z.object({ text: z.string() }),
          run: async (inputs, ctx) => {
            const amount: number = inputs.amount;
            // @ts-expect-error a number is no string
            const wrong: string = inputs.amount;
            ctx.progress(0.5);
            return { text: `${amount}${wrong}` };
          },
        },
        inputsOnly: {
          inputs: z.object({ name: z.string() }),
          run(inputs) {
            const name: string = inputs.name;
            return { name };
          },
        },
        neither: {
          async run(inputs) {
            const value: unknown = inputs.anything;
            if (value === undefined) return;
            return { value };
          },
        },
        wrongOutput: {
          outputs: z.object({ text: z.string() }),
          // @ts-expect-error the output schema wants a string
          run() {
            return { text: 1 };
          },
        },
        handsOver: {
          outputs: z.object({ text: z.string() }),
          run: (_inputs, ctx) => ctx.handoff("other", "task", {}, "not mine"),
        },
      },
    });
    expect(Object.keys(agent.tasks)).toEqual(["both", "inputsOnly", "neither", "wrongOutput", "handsOver"]);
  });

  it("is frozen, so that a running host cannot be changed under its feet", () => {
    const agent = defineAgent({ role: "still", tasks: { one: { run: () => ({}) } } });
    expect(Object.isFrozen(agent)).toBe(true);
    expect(Object.isFrozen(agent.tasks)).toBe(true);
  });

  it.each([
    ["a role with a dot", { role: "a.b", tasks: { t: { run() {} } } }, /role must match .*"a\.b"/],
    ["a missing role", { tasks: { t: { run() {} } } }, /role must match .*undefined/],
    ["no tasks", { role: "idle", tasks: {} }, /agent "idle" has no tasks/],
    ["a task name with a space", { role: "r", tasks: { "a b": { run() {} } } }, /task "a b" of agent "r"/],
    ["a task without run", { role: "r", tasks: { t: {} } }, /task "t" of agent "r" has no run function/],
    [
      "a schema that is none",
      { role: "r", tasks: { t: { inputs: {}, run() {} } } },
      /inputs must be a zod schema/,
    ],
    [
      "a bad environment key",
      { role: "r", tasks: { t: { gives: ["a.b"], run() {} } } },
      /gives names .*"a\.b"/,
    ],
    ["a bad timeout", { role: "r", tasks: { t: { timeout: "soon", run() {} } } }, /"soon" is no duration/],
    [
      "a negative cost",
      { role: "r", tasks: { t: { cost: -1, run() {} } } },
      /cost must be 0 or more, but is -1/,
    ],
  ])("refuses %s at definition, saying where", (_what, definition, message) => {
    expect(fromJavaScript(definition)).toThrow(InvalidInputError);
    expect(fromJavaScript(definition)).toThrow(message);
  });
});
