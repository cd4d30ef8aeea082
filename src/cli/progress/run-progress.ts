/**
 * What a watcher knows of a run while it goes on, kept so that a picture of it costs what it shows.
 *
 * Owns which steps are worth a line: it keeps the running, the failed and the last closed ones at hand, so
 * that a run of ten thousand steps is drawn as cheaply as one of ten. Fed with watch events, in order.
 */
import type { WatchEvent } from "../../client/swarm.ts";
import type { RunFold } from "../../fold/run-fold.ts";
import type { TransitionRecord } from "../../fold/transition-record.ts";
import { stepTree, type TreeLine } from "../../trace/step-tree.ts";
import { Timelines } from "../../trace/timeline.ts";
import type { WorkflowGraph } from "../../workflow/graph.ts";

/** Closed steps that are kept at hand, the youngest last. */
const RECENT = 200;

export interface LiveProgress {
  fraction: number | undefined;
  message: string | undefined;
}

export class RunProgress {
  readonly timelines = new Timelines();
  readonly running = new Set<string>();
  readonly failed = new Set<string>();
  readonly recent: string[] = [];
  readonly #live = new Map<string, LiveProgress>();
  #fold: RunFold | undefined;
  #tree: { graph: WorkflowGraph; lines: TreeLine[] } | undefined;

  note(event: WatchEvent): void {
    this.#fold = event.fold;
    for (const transition of event.transitions) this.#noteTransition(transition);
    const { live } = event;
    if (live?.type === "progress" && this.running.has(live.step)) {
      this.#live.set(live.step, { fraction: live.fraction, message: live.message });
    }
  }

  #noteTransition(transition: TransitionRecord): void {
    if (transition.kind !== "step") return;
    this.timelines.add(transition);
    const { actor, to } = transition;
    if (to === "running") this.running.add(actor);
    else {
      this.running.delete(actor);
      this.#live.delete(actor);
    }
    if (to === "failed") this.failed.add(actor);
    else this.failed.delete(actor);
    if (to === "done") {
      this.recent.push(actor);
      if (this.recent.length > 2 * RECENT) this.recent.splice(0, RECENT);
    }
  }

  /** Undefined before the first event. */
  get fold(): RunFold | undefined {
    return this.#fold;
  }

  live(step: string): LiveProgress | undefined {
    return this.#live.get(step);
  }

  /** The workflow as a tree; laid out once per workflow. */
  tree(): readonly TreeLine[] {
    const graph = this.#fold?.graph;
    if (graph === undefined) return [];
    if (this.#tree?.graph !== graph) this.#tree = { graph, lines: stepTree(graph.steps()) };
    return this.#tree.lines;
  }
}
