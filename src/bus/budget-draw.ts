/**
 * How a nested run draws on the budget of a run above it: part of an `observed` record in the log of that run.
 *
 * The amounts are all that the nested run itself has spent so far, without the runs below it, which draw for
 * themselves. So a draw that is repeated, or comes late, counts nothing twice.
 */
import { z } from "zod";
import { idSchema, stepRefSchema } from "../workflow/names.ts";

export const drawSchema = z.object({
  child: idSchema,
  /** The dispatch of the run above that the nested run is below of, at whatever depth. */
  step: stepRefSchema,
  n: z.int().min(1),
  tokens: z.number().min(0),
  usd: z.number().min(0),
  dispatches: z.int().min(0),
  /** How many dispatches more it wants to give out. */
  wants: z.int().min(0),
  /** Where nothing is granted at a limit at which the run above pauses, the nested run waits until it is raised. */
  pauses: z.literal(true).optional(),
});
export type Draw = z.infer<typeof drawSchema>;
