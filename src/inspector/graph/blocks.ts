/**
 * What the graph draws: blocks, each one step, or many steps that are alike drawn as a field of cells.
 *
 * Steps with the same role, task, dependencies and dependents differ in their inputs only; hundreds of boxes
 * for them would say less than one box with a cell for each. The items of a fan-out are cells of its step.
 */
import type { GraphStep } from "../../http/api.ts";

/** Alike steps below this number are drawn one by one. */
const MIN_FIELD = 16;
const CELL = 11;
const FIELD_HEAD = 30;
const FIELD_PAD = 8;
const STEP_WIDTH = 176;
const STEP_HEIGHT = 46;

export interface Block {
  /** Index of the step; for a field, of its first. */
  readonly id: string;
  readonly title: string;
  readonly subtitle: string;
  /** Ids of the steps in it. */
  readonly steps: readonly string[];
  readonly field: { columns: number; cell: number } | undefined;
  /** It undoes another step. */
  readonly undoes: boolean;
  readonly width: number;
  readonly height: number;
}

export interface BlockGraph {
  readonly blocks: readonly Block[];
  /** Pairs of block indexes. */
  readonly edges: readonly (readonly [number, number])[];
  /** The block of each step. */
  readonly blockOf: ReadonlyMap<string, number>;
}

/** @param items ids of the items of each step that fanned out */
export function blockGraph(steps: readonly GraphStep[], items: ReadonlyMap<string, string[]>): BlockGraph {
  const dependents = new Map<string, string[]>();
  for (const step of steps) {
    for (const dependency of step.dependsOn) {
      const known = dependents.get(dependency);
      if (known) known.push(step.id);
      else dependents.set(dependency, [step.id]);
    }
  }
  const alike = new Map<string, GraphStep[]>();
  for (const step of steps) {
    const key = JSON.stringify([step.role, step.task, step.dependsOn, dependents.get(step.id) ?? []]);
    const known = alike.get(key);
    if (known) known.push(step);
    else alike.set(key, [step]);
  }
  const blocks: Block[] = [];
  const blockOf = new Map<string, number>();
  const add = (block: Block): void => {
    for (const id of block.steps) blockOf.set(id, blocks.length);
    blocks.push(block);
  };
  for (const group of alike.values()) {
    const [first] = group;
    if (first === undefined) continue;
    const made = items.get(first.id);
    if (group.length >= MIN_FIELD && made === undefined) {
      add(
        field(
          first.id,
          `${group.length} × ${first.role}`,
          first.task,
          group.map(({ id }) => id),
        ),
      );
      continue;
    }
    for (const step of group) {
      const own = items.get(step.id);
      if (own !== undefined && own.length > 0) {
        add(field(step.id, step.id, `${own.length} × ${step.role}.${step.task}`, own));
        blockOf.set(step.id, blocks.length - 1);
      } else {
        const subtitle = `${step.role}.${step.task}`;
        add({
          id: step.id,
          title: step.of === undefined ? step.id : `undo ${step.id.replace(/~undo$/, "")}`,
          subtitle,
          steps: [step.id],
          field: undefined,
          undoes: step.of !== undefined,
          width: STEP_WIDTH,
          height: STEP_HEIGHT,
        });
      }
    }
  }
  return { blocks, blockOf, edges: edgesOf(steps, blockOf) };
}

function field(id: string, title: string, subtitle: string, steps: string[]): Block {
  const columns = Math.max(14, Math.ceil(Math.sqrt(steps.length * 1.7)));
  const rows = Math.ceil(steps.length / columns);
  return {
    id,
    title,
    subtitle,
    steps,
    field: { columns, cell: CELL },
    undoes: false,
    width: Math.max(STEP_WIDTH, columns * CELL + 2 * FIELD_PAD),
    height: FIELD_HEAD + rows * CELL + FIELD_PAD,
  };
}

/** Where a step's cell is inside its block. */
export function cellAt(block: Block, place: number): { x: number; y: number } {
  const columns = block.field?.columns ?? 1;
  return { x: FIELD_PAD + (place % columns) * CELL, y: FIELD_HEAD + Math.floor(place / columns) * CELL };
}

/** The place of the cell at a point inside a block; -1: none. */
export function cellUnder(block: Block, x: number, y: number): number {
  if (block.field === undefined) return -1;
  const column = Math.floor((x - FIELD_PAD) / CELL);
  const row = Math.floor((y - FIELD_HEAD) / CELL);
  if (column < 0 || row < 0 || column >= block.field.columns) return -1;
  const place = row * block.field.columns + column;
  return place < block.steps.length ? place : -1;
}

function edgesOf(steps: readonly GraphStep[], blockOf: ReadonlyMap<string, number>): [number, number][] {
  const seen = new Set<number>();
  const edges: [number, number][] = [];
  for (const step of steps) {
    const to = blockOf.get(step.id);
    for (const dependency of step.dependsOn) {
      const from = blockOf.get(dependency);
      if (from === undefined || to === undefined || from === to) continue;
      const key = from * 1_000_003 + to;
      if (seen.has(key)) continue;
      seen.add(key);
      edges.push([from, to]);
    }
  }
  return edges;
}
