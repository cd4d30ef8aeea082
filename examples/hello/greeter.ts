/**
 * The smallest agent: one role with one task.
 *
 *     datahammer run examples/hello/hello.yaml --agents examples/hello/greeter.ts --input name=Ada
 *
 * In a project of your own, import from "datahammer".
 */
import { z } from "zod";
import { defineAgent } from "../../src/agent/define-agent.ts";

export default defineAgent({
  role: "greeter",
  description: "Greets people.",
  tasks: {
    greet: {
      description: "Greets a person by name.",
      inputs: z.object({ name: z.string() }),
      outputs: z.object({ greeting: z.string() }),
      gives: ["greeting"],
      run: ({ name }) => ({ greeting: `Hello, ${name}!` }),
    },
  },
});
