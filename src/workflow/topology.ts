/**
 * The shape of a dependency graph, over step positions instead of ids.
 *
 * Every algorithm here is iterative and linear in steps plus edges: a chain of 100,000 steps must neither
 * overflow the stack nor take noticeable time.
 */

/** A directed graph in which `dependencies[v]` must come before `v`. Edges are distinct, none is a loop. */
export type Dependencies = readonly (readonly number[])[];

/** The reverse edges: what depends on each node, in ascending order. */
export function reverseEdges(dependencies: Dependencies): number[][] {
  const dependents: number[][] = Array.from(dependencies, () => []);
  for (const [node, before] of dependencies.entries()) {
    for (const dependency of before) dependents[dependency]?.push(node);
  }
  return dependents;
}

/**
 * Strongly connected components in dependency order: when a component comes, all that it depends on has
 * come before. Without cycles every component is a single node and their sequence is a topological order;
 * a list that is in dependency order already keeps its order. Tarjan's algorithm with an explicit stack.
 */
export function components(dependencies: Dependencies): number[][] {
  const size = dependencies.length;
  const found: number[][] = [];
  const order = new Int32Array(size).fill(-1);
  const low = new Int32Array(size);
  const nextEdge = new Int32Array(size);
  const isOpen = new Uint8Array(size);
  const open: number[] = [];
  const path: number[] = [];
  let counter = 0;

  const enter = (node: number) => {
    order[node] = low[node] = counter++;
    isOpen[node] = 1;
    open.push(node);
    path.push(node);
  };

  for (let root = 0; root < size; root++) {
    if (at(order, root) >= 0) continue;
    enter(root);
    for (let node = path.at(-1); node !== undefined; node = path.at(-1)) {
      const edges = dependencies[node] ?? [];
      const edge = at(nextEdge, node);
      const target = edges[edge];
      if (target !== undefined) {
        nextEdge[node] = edge + 1;
        if (at(order, target) < 0) enter(target);
        else if (at(isOpen, target) === 1) low[node] = Math.min(at(low, node), at(order, target));
        continue;
      }
      path.pop();
      const parent = path.at(-1);
      if (parent !== undefined) low[parent] = Math.min(at(low, parent), at(low, node));
      if (at(low, node) !== at(order, node)) continue;
      const component: number[] = [];
      for (let member = open.pop(); member !== undefined; member = open.pop()) {
        isOpen[member] = 0;
        component.push(member);
        if (member === node) break;
      }
      found.push(component.sort((a, b) => a - b));
    }
  }
  return found;
}

/**
 * A shortest cycle through the first node of a component of two or more, as nodes each of which depends on
 * the next; the last depends on the first.
 */
export function shortestCycle(dependencies: Dependencies, component: readonly number[]): number[] {
  const [start] = component;
  if (start === undefined) return [];
  const members = new Set(component);
  const cameFrom = new Map<number, number>();
  const queue = [start];
  for (let head = 0; head < queue.length; head++) {
    const node = queue[head] as number;
    for (const next of dependencies[node] ?? []) {
      if (next === start) {
        const cycle = [node];
        for (let step = cameFrom.get(node); step !== undefined; step = cameFrom.get(step)) cycle.push(step);
        return cycle.reverse();
      }
      if (!members.has(next) || cameFrom.has(next)) continue;
      cameFrom.set(next, node);
      queue.push(next);
    }
  }
  return [];
}

/**
 * For every node, how many nodes are on the longest way from it to one on which nothing depends, itself
 * included.
 * @param order a topological order
 */
export function longestWayToEnd(
  dependents: readonly (readonly number[])[],
  order: readonly number[],
): Int32Array {
  const depth = new Int32Array(dependents.length);
  for (const node of order.toReversed()) {
    let longest = 0;
    for (const next of dependents[node] ?? []) longest = Math.max(longest, at(depth, next));
    depth[node] = longest + 1;
  }
  return depth;
}

/** A typed array's element. Indexes come from the graph itself, so the fallback is never used. */
function at(array: Int32Array | Uint8Array, index: number): number {
  return array[index] ?? 0;
}
