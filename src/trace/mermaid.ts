/** A trace as Mermaid: the workflow with every step's state, or the path that one step took. */

import { stepLabel, stepRefOf } from "../workflow/derived-step.ts";
import { lineLabel, quotedLabel } from "../workflow/diagram-label.ts";
import { formatDuration } from "./duration.ts";
import type { Trace } from "./replay.ts";
import { itemsText } from "./view.ts";

const CLASSES = [
  "classDef pending fill:#f6f6f6,stroke:#bbbbbb,color:#777777",
  "classDef ready fill:#fff8e1,stroke:#f0b429,color:#5c4400",
  "classDef running fill:#e3f2fd,stroke:#1e88e5,color:#0d3c66",
  "classDef done fill:#e8f5e9,stroke:#43a047,color:#1b4d1e",
  "classDef skipped fill:#ffffff,stroke:#bbbbbb,color:#777777,stroke-dasharray:4 3",
  "classDef failed fill:#ffebee,stroke:#e53935,color:#7f1d1d",
  "classDef cancelled fill:#fff3e0,stroke:#fb8c00,color:#663c00",
];

const CLASS_OF: Readonly<Record<string, string>> = {
  completed: "done",
  skipped: "skipped",
  failed: "failed",
  "timed-out": "failed",
  cancelled: "cancelled",
};

/** So many edges Mermaid refuses to draw unless its page allows more. */
const MERMAID_EDGES = 500;

/** The graph as a `flowchart`. Nodes are numbered, since a step may be called `end`, which Mermaid reserves. */
export function renderFlowchart({ fold }: Trace): string {
  const lines = ["flowchart TD"];
  const nodes = new Map<string, string>();
  const drawn = [...(fold.graph?.steps() ?? []), ...fold.compensations];
  for (const step of drawn) {
    const node = `s${nodes.size}`;
    nodes.set(step.id, node);
    const { state, context } = fold.step(step.id);
    const agent = context.agent === null ? context.role : context.agent;
    const how = context.outcome ?? state;
    const items = fold.fanOutOf(step.id);
    const label = [step.id, `${agent}: ${context.task}`, ...(items ? [itemsText(items)] : []), how];
    lines.push(`  ${node}["${quotedLabel(label)}"]:::${CLASS_OF[how] ?? how}`);
  }
  const edges = drawn.flatMap(({ id, dependsOn, origin }) => [
    ...dependsOn.map((dependency) => `  ${nodes.get(dependency)} --> ${nodes.get(id)}`),
    ...(origin === undefined ? [] : [`  ${nodes.get(origin.of)} -. undone by .-> ${nodes.get(id)}`]),
  ]);
  // A diagram cannot raise the bound itself, and Mermaid's message does not say where it can be raised.
  if (edges.length >= MERMAID_EDGES)
    lines.splice(
      1,
      0,
      `  %% ${edges.length} edges: set maxEdges in the page's mermaid.initialize() to draw them`,
    );
  lines.push(...edges);
  return `${[...lines, ...CLASSES.map((line) => `  ${line}`)].join("\n")}\n`;
}

/** The step's machine as it moved, as a `stateDiagram-v2`: its transitions numbered in order. */
export function renderStateDiagram({ transitions, fold }: Trace, step: string): string {
  const lines = ["stateDiagram-v2", `  %% step ${stepLabel(step)} of run ${fold.run}`, "  [*] --> pending"];
  const from = fold.startedAt ?? transitions[0]?.ts ?? 0;
  for (const [index, transition] of transitions.entries()) {
    const when = formatDuration(transition.ts - from);
    const by =
      transition.to === "running" && transition.agent !== null ? ` by ${lineLabel(transition.agent)}` : "";
    lines.push(
      `  ${transition.from} --> ${transition.to}: ${index + 1}. ${lineLabel(transition.event)}${by} (after ${when})`,
    );
  }
  const { state } = fold.step(stepRefOf(step));
  if (state === "done") lines.push("  done --> [*]");
  lines.push("  classDef now fill:#e3f2fd,stroke:#1e88e5,stroke-width:2px", `  class ${state} now`);
  return `${lines.join("\n")}\n`;
}
