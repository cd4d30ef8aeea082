/** What folding a record makes necessary. Idempotent: after a failover the same follows from the state (L2). */
import type { DispatchRef, EnvChangeMessage } from "../bus/messages.ts";
import type { RunState } from "../machines/run.ts";

export type Effect =
  /** There are goals and no workflow: plan. */
  | { type: "plan" }
  /** The step may be given out, now or after its back-off. */
  | { type: "offer"; step: string }
  /** Somebody wants the step stopped: take back what is out, then decide. */
  | { type: "stop"; step: string }
  /** An agent has begun on a step whose work is timed. Epoch ms. */
  | { type: "started"; step: string; at: number }
  /** The step's expressions look inside large values: fetch these, and decide what comes of it. */
  | { type: "resolve"; step: string }
  /** Large values were set for keys that have a schema: hold them against it, and decide what comes of it. */
  | { type: "judge" }
  /** The step waits for somebody outside. */
  | { type: "wait"; step: string }
  /** The dispatch is closed without its holder's word: remove its task, stop its agent. */
  | { type: "withdraw"; ref: DispatchRef; reason: string }
  /** The step failed and wants another way to its outputs. */
  | { type: "recover"; step: string }
  /** Facts arrived that the plan waited for: weigh the rest of it. */
  | { type: "weigh" }
  /** The question to the swarm's planner has its answer, or is given up. */
  | { type: "consulted" }
  /** Another workflow took the place of the one there was. */
  | { type: "revised" }
  /** The environment changed: tell watchers. */
  | { type: "env"; change: EnvChangeMessage }
  /** The run's status changed: tell the index. */
  | { type: "status"; status: RunState }
  /** The run gave up, and undoes what it did; its end is yet to come. */
  | { type: "compensating" }
  /** Nothing more happens by itself. */
  | { type: "ended" };
