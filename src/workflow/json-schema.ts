/** The JSON Schema of workflow files, for editors and for programs in other languages. */
import { z } from "zod";
import { workflowSchema } from "./document.ts";

/** JSON Schema, draft 2020-12, derived from the schema that `validate` uses. */
export function workflowJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(workflowSchema, { target: "draft-2020-12", io: "input" });
  return {
    ...schema,
    title: "DataHammer workflow",
    description:
      "A graph of steps that agents carry out. Cycles, dependencies and data flow are checked by `datahammer validate`.",
  };
}
