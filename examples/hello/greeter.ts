/**
 * The smallest agent: one role with one task.
 *
 *     datahammer run examples/hello/hello.yaml --agents examples/hello/greeter.ts --input name=Ada
 */
import { defineAgent } from "datahammer";
import { z } from "zod";

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
