/** An agent of role `counter`, for runs of the columns that `test/e2e/stage.ts` makes: each step gives its name. */
import { defineAgent } from "../../src/agent/define-agent.ts";

/** @param begun called with each step before its task ends, which waits for it */
export function counterAgent(begun: (step: string) => Promise<void> | void = () => undefined) {
  return defineAgent({
    role: "counter",
    description: "counts",
    tasks: {
      count: {
        description: "counts",
        run: async (_inputs: unknown, { step }) => {
          await begun(step);
          return { [`${step}_out`]: step };
        },
      },
    },
  });
}
