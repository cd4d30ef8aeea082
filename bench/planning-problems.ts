/**
 * Planning problems by seed, in the shapes that capabilities have: lines of work with by-products, layers of
 * tasks that need several results of the layer below, and tasks that are tangled at random.
 */
import type { Capability, RoleCard } from "../src/workflow/capability.ts";

export interface PlanningCase {
  cards: RoleCard[];
  want: string[];
}

export const SHAPES = ["lines", "layers", "tangle"] as const;
export type Shape = (typeof SHAPES)[number];

export function problemOf(shape: Shape, capabilities: number, wanted: number, seed: number): PlanningCase {
  const chance = randomOf(seed);
  const tasks = { lines, layers, tangle }[shape](capabilities, chance);
  return { cards: [{ role: "worker", tasks }], want: pick(reachable(tasks, shape), wanted, chance) };
}

/** Numbers from 0 to below 1 (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const below = (count: number, chance: () => number): number => Math.floor(chance() * count);
const price = (chance: () => number): number => 1 + below(9, chance);

/** Lines over one source, in groups of five that share by-products; each has a dearer short cut. */
function lines(count: number, chance: () => number): Capability[] {
  const tasks: Capability[] = [{ name: "read", needs: [], gives: ["raw"], cost: 1 }];
  for (let line = 0; tasks.length + 4 <= count; line++) {
    const sibling = (by: number): number => line - (line % 5) + ((line + by) % 5);
    tasks.push(
      { name: `a${line}`, needs: ["raw"], gives: [`a${line}`], cost: price(chance) },
      { name: `b${line}`, needs: [`a${line}`, `a${sibling(1)}`], gives: [`b${line}`], cost: price(chance) },
      { name: `c${line}`, needs: [`b${line}`], gives: [`c${line}`, `b${sibling(3)}`], cost: price(chance) },
      { name: `d${line}`, needs: [`a${line}`], gives: [`c${line}`], cost: 2 + price(chance) },
    );
  }
  return tasks;
}

const LAYERS = 6;

/** Two ways to most keys, each needing one to three of the layer below, and many by-products. */
function layers(count: number, chance: () => number): Capability[] {
  const wide = Math.max(1, Math.ceil(count / 2 / LAYERS));
  return Array.from({ length: count }, (_, index): Capability => {
    const layer = index % LAYERS;
    const key = (of: number, place: number): string => `l${of}_${place}`;
    const gives = new Set([key(layer, Math.floor(index / LAYERS) % wide)]);
    if (chance() < 0.5) gives.add(key(layer, below(wide, chance)));
    const needs = new Set<string>();
    const many = layer === 0 ? 0 : 1 + below(3, chance);
    for (let need = 0; need < many; need++) needs.add(key(layer - 1, below(wide, chance)));
    return { name: `t${index}`, needs: [...needs], gives: [...gives], cost: price(chance) };
  });
}

/** No order at all: circles, several ways, dead ends. */
function tangle(count: number, chance: () => number): Capability[] {
  const keys = Math.max(2, Math.round(count * 0.45));
  const some = (many: number): string[] => [
    ...new Set(Array.from({ length: many }, () => `k${below(keys, chance)}`)),
  ];
  return Array.from(
    { length: count },
    (_, index): Capability => ({
      name: `t${index}`,
      needs: some(below(3, chance)),
      gives: some(1 + below(2, chance)),
      cost: price(chance),
    }),
  );
}

/** What can be reached and is worth wanting: ends of lines, the upper layers, anything of a tangle. */
function reachable(tasks: readonly Capability[], shape: Shape): string[] {
  const reached = new Set<string>();
  for (let before = -1; before !== reached.size; ) {
    before = reached.size;
    for (const { needs, gives } of tasks) {
      if (needs.every((need) => reached.has(need))) for (const key of gives) reached.add(key);
    }
  }
  const worth = { lines: /^c/, layers: new RegExp(`^l(${LAYERS - 2}|${LAYERS - 1})_`), tangle: /^k/ }[shape];
  return [...reached].filter((key) => worth.test(key)).sort();
}

function pick(keys: string[], count: number, chance: () => number): string[] {
  for (let last = keys.length - 1; last > 0; last--) {
    const other = below(last + 1, chance);
    [keys[last], keys[other]] = [keys[other] as string, keys[last] as string];
  }
  return keys.slice(0, count);
}
