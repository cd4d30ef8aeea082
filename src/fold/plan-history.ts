/**
 * How a run's plan came to be and changed: what the planner said first, and every revision since.
 *
 * It owns that record alone; whether a revision may take place is the step flow's matter, and what it costs was
 * the planner's when the decision was written (L3).
 */
import type { DecisionMessage } from "../bus/decisions.ts";
import type { WorkflowGraph } from "../workflow/graph.ts";

/** What the planner said when it made this run's workflow. */
export interface PlanRecord {
  cost: number;
  optimal: boolean;
  explored: number;
  reasons: Record<string, string>;
}

/** A change of the plan while it was carried out. */
export interface PlanRevision {
  /** From 1. */
  number: number;
  /** Log sequence of the decision. */
  seq: number;
  /** Epoch ms. */
  ts: number;
  reason: string;
  added: string[];
  /** Left out; those that had begun are retired. */
  dropped: string[];
  /** Of what was left to do: as it was planned, seen with what was known then, and as it is now. */
  costBefore?: number;
  cost?: number;
  optimal?: boolean;
}

type ReviseDecision = DecisionMessage & { type: "revise" };

export class PlanHistory {
  readonly #revisions: PlanRevision[] = [];
  #first: PlanRecord | undefined;

  /** Undefined for a run whose workflow was submitted. */
  get first(): PlanRecord | undefined {
    return this.#first;
  }

  /** Oldest first. */
  get revisions(): readonly PlanRevision[] {
    return this.#revisions;
  }

  begin({ cost, optimal, explored, reasons }: PlanRecord): void {
    this.#first = { cost, optimal, explored, reasons };
  }

  /** Notes that one graph takes the place of another. */
  revise(
    { reason, costBefore, cost, optimal }: ReviseDecision,
    graphs: { before: WorkflowGraph; after: WorkflowGraph },
    { seq, ts }: { seq: number; ts: number },
  ): PlanRevision {
    const revision: PlanRevision = {
      number: this.#revisions.length + 1,
      seq,
      ts,
      reason,
      added: only(graphs.after, graphs.before),
      dropped: only(graphs.before, graphs.after),
      ...(costBefore !== undefined && { costBefore }),
      ...(cost !== undefined && { cost }),
      ...(optimal !== undefined && { optimal }),
    };
    this.#revisions.push(revision);
    return revision;
  }
}

/** Ids that one graph has and the other has not, in document order. */
function only(one: WorkflowGraph, other: WorkflowGraph): string[] {
  return [...one.steps()].flatMap(({ id }) => (other.has(id) ? [] : [id]));
}
