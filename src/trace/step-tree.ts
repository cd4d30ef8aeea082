/**
 * A workflow graph drawn as a tree: every step under the dependency that it waits longest for.
 *
 * A graph has steps with several dependencies, a tree has not; the deepest dependency (the last one in the
 * document among equals) stands for all. Linear in steps plus edges; deep chains stop indenting at a bound,
 * so that a chain of ten thousand steps still fits a line.
 */

export interface TreeStep {
  readonly id: string;
  readonly dependsOn: readonly string[];
}

export interface TreeLine {
  readonly id: string;
  /** Box drawing in front of the step, empty for a root. */
  readonly prefix: string;
  readonly depth: number;
}

/** Levels that are indented; deeper ones are drawn at this level. */
export const MAX_INDENT = 8;

/** The lines of the tree, parents before children, siblings in document order. */
export function stepTree(steps: Iterable<TreeStep>): TreeLine[] {
  const depths = new Map<string, number>();
  const places = new Map<string, number>();
  const isLater = (a: string, b: string): boolean => {
    const deeper = (depths.get(a) ?? 0) - (depths.get(b) ?? 0);
    return deeper > 0 || (deeper === 0 && (places.get(a) ?? 0) > (places.get(b) ?? 0));
  };
  const children = new Map<string, string[]>();
  const roots: string[] = [];
  for (const step of inDependencyOrder([...steps])) {
    let parent: string | undefined;
    for (const dependency of step.dependsOn) {
      if (parent === undefined || isLater(dependency, parent)) parent = dependency;
    }
    places.set(step.id, places.size);
    depths.set(step.id, parent === undefined ? 0 : (depths.get(parent) ?? 0) + 1);
    if (parent === undefined) roots.push(step.id);
    else {
      const siblings = children.get(parent);
      if (siblings) siblings.push(step.id);
      else children.set(parent, [step.id]);
    }
  }
  return drawTree(roots, children);
}

function drawTree(roots: readonly string[], children: ReadonlyMap<string, readonly string[]>): TreeLine[] {
  const lines: TreeLine[] = [];
  // A stack instead of recursion: a chain may be longer than the call stack.
  const stack = roots.map((id) => ({ id, prefix: "", below: "", depth: 0 })).reverse();
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    const { id, prefix, below, depth } = node;
    lines.push({ id, prefix, depth });
    const own = children.get(id) ?? [];
    const indent = depth < MAX_INDENT;
    for (let index = own.length - 1; index >= 0; index--) {
      const last = index === own.length - 1;
      stack.push({
        id: own[index] as string,
        prefix: indent ? `${below}${last ? "└ " : "├ "}` : prefix,
        below: indent ? `${below}${last ? "  " : "│ "}` : below,
        depth: depth + 1,
      });
    }
  }
  return lines;
}

/** Dependencies before dependents, otherwise in document order. The graph is known to have no cycle. */
function inDependencyOrder(steps: readonly TreeStep[]): TreeStep[] {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const ordered: TreeStep[] = [];
  const begun = new Set<string>();
  for (const start of steps) {
    const stack: { step: TreeStep; next: number }[] = [];
    const enter = (step: TreeStep): void => {
      if (begun.has(step.id)) return;
      begun.add(step.id);
      stack.push({ step, next: 0 });
    };
    enter(start);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const dependency = byId.get(top.step.dependsOn[top.next] ?? "");
      if (top.next >= top.step.dependsOn.length) {
        ordered.push(top.step);
        stack.pop();
      } else {
        top.next += 1;
        if (dependency) enter(dependency);
      }
    }
  }
  return ordered;
}
