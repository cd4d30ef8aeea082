/**
 * What the HTTP API tells live, as zod schemas: the data of its server-sent events. The inspector's types derive from
 * them. Objects are open, as those of the answers.
 */
import { z } from "zod";
import { RUN_STATUSES, runSummarySchema } from "../bus/messages.ts";
import {
  agentSchema,
  envChangeSchema,
  roleSchema,
  seq,
  stepCountsSchema,
  time,
  transitionSchema,
  voidSchema,
} from "./api.ts";

/** Event `records` of a run's stream: what some records of its log moved. Its id is `seq`. */
export const recordsEventSchema = z.object({
  seq,
  status: z.enum(RUN_STATUSES),
  startedAt: time,
  endedAt: time.nullable(),
  steps: stepCountsSchema,
  transitions: z.array(transitionSchema),
  voids: z.array(voidSchema),
  changes: z.array(envChangeSchema),
  /** True when the workflow changed: read the graph again. */
  graph: z.boolean(),
  graphSeq: seq.describe("Of the last record up to there that changed the workflow; 0: there is none."),
});

/** Event `live`: progress and partial output. Kept nowhere: who comes later does not see them. */
export const liveEventSchema = z.object({
  messages: z.array(
    z.object({
      type: z.enum(["started", "progress", "chunk", "heartbeat"]),
      step: z.string(),
      n: z.int(),
      agent: z.string(),
      role: z.string(),
      fraction: z.number().optional(),
      message: z.string().optional(),
      data: z.unknown().optional(),
      at: z.number().optional().describe("Epoch ms."),
    }),
  ),
  /** Messages that were left out because the client reads too slowly. */
  dropped: z.int(),
});

/** Event `swarm` of the swarm's stream: what changed since the last one. */
export const swarmEventSchema = z.object({
  at: time,
  runs: z.array(runSummarySchema).optional().describe("New and changed ones."),
  removed: z.array(z.string()).optional().describe("Runs that were removed."),
  agents: z.array(agentSchema).optional(),
  roles: z.array(roleSchema).optional(),
});

/** Event `environment` of the stream of a run's environment: what one record changed. Its id is `revision`. */
export const environmentEventSchema = z.object({
  revision: seq,
  changes: z.array(envChangeSchema.extend({ value: z.unknown() })),
});

export type EnvironmentEvent = z.infer<typeof environmentEventSchema>;
export type RecordsEvent = z.infer<typeof recordsEventSchema>;
export type LiveEvent = z.infer<typeof liveEventSchema>;
export type SwarmEvent = z.infer<typeof swarmEventSchema>;
