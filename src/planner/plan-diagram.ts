/** A plan as a Mermaid flowchart: its steps, what flows between them, and the tasks that lost against them. */
import { quotedLabel } from "../workflow/diagram-label.ts";
import type { WorkflowStepDocument } from "../workflow/document.ts";
import type { Plan } from "./planner.ts";

/** Tasks beside the plan that are drawn at most. */
const MAX_LEFT_OUT = 40;

const CLASSES = [
  "classDef step fill:#e3f2fd,stroke:#1e88e5,color:#0d3c66",
  "classDef wanted fill:#e8f5e9,stroke:#43a047,color:#1b4d1e",
  "classDef left fill:#ffffff,stroke:#bbbbbb,color:#777777,stroke-dasharray:4 3",
];

/** Nodes are numbered, since a step may be called `end`, which Mermaid reserves. */
export function planDiagram({ workflow, want, explanation }: Plan): string {
  const lines = ["flowchart LR"];
  const nodes = new Map(workflow.steps.map(({ id }, index) => [id, `s${index}`]));
  const writers = new Map(workflow.steps.flatMap(({ id, outputs = [] }) => outputs.map((key) => [key, id])));
  const about = new Map(explanation?.steps.map((step) => [step.step, step]));
  for (const { id, agent, task, when } of workflow.steps) {
    const cost = about.get(id)?.cost;
    const parts = [id, `${agent}: ${task}`, ...(cost === undefined ? [] : [`cost ${cost}`])];
    if (when !== undefined) parts.push(`when ${when}`);
    lines.push(`  ${nodes.get(id)}["${quotedLabel(parts)}"]:::step`);
  }
  for (const step of workflow.steps) {
    for (const dependency of step.dependsOn ?? []) {
      const keys = keysBetween(step, dependency, writers);
      const label = keys.length === 0 ? "" : `|"${quotedLabel([keys.join(", ")])}"| `;
      lines.push(`  ${nodes.get(dependency)} -->${label === "" ? " " : label}${nodes.get(step.id)}`);
    }
  }
  want.forEach((key, index) => {
    lines.push(`  w${index}(["${quotedLabel([key])}"]):::wanted`);
    const writer = nodes.get(writers.get(key) ?? "");
    if (writer !== undefined) lines.push(`  ${writer} --> w${index}`);
  });
  // Beside the plan: what would be done instead of a step, and what that plan would cost.
  const drawn = new Map<string, string>();
  for (const { step, without } of explanation?.steps ?? []) {
    for (const name of without?.instead ?? []) {
      if (!drawn.has(name) && drawn.size >= MAX_LEFT_OUT) continue;
      const node = drawn.get(name) ?? `x${drawn.size}`;
      if (!drawn.has(name)) lines.push(`  ${node}["${quotedLabel([name.replace(".", ": ")])}"]:::left`);
      drawn.set(name, node);
      lines.push(`  ${node} -. "instead: ${Number(without?.cost.toFixed(3))}" .-> ${nodes.get(step)}`);
    }
  }
  return `${[...lines, ...CLASSES.map((line) => `  ${line}`)].join("\n")}\n`;
}

function keysBetween(
  { inputs = {} }: WorkflowStepDocument,
  dependency: string,
  writers: ReadonlyMap<string | undefined, string | undefined>,
): string[] {
  return Object.keys(inputs).filter((key) => writers.get(key) === dependency);
}
