/**
 * A planner that only says what must not be done here; the way itself is left to DataHammer's.
 *
 *     FORBIDDEN=cloud,printer datahammer agent examples/planner/house-rules.ts
 */
import { defineAgent } from "datahammer";
import { z } from "zod";

const question = z.looseObject({
  roles: z.array(z.looseObject({ role: z.string(), tasks: z.array(z.looseObject({ name: z.string() })) })),
});

function rules({ roles }: z.infer<typeof question>): Record<string, unknown> {
  const forbidden = (process.env.FORBIDDEN ?? "").split(",");
  const avoid = roles
    .filter(({ role }) => forbidden.includes(role))
    .flatMap(({ role, tasks }) => tasks.map(({ name }) => ({ role, task: name })));
  return { avoid };
}

export default defineAgent({
  role: "planner",
  description: "Keeps to the rules of the house.",
  tasks: {
    plan: { inputs: question, run: rules },
    recover: { inputs: question, run: rules },
  },
});
