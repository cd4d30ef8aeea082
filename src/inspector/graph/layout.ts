/**
 * Places of blocks: in layers, each after all that it depends on, with few crossings.
 *
 * A library does it for graphs that people read block by block. Its orderings take from seconds to minutes
 * for thousands of blocks (measured: dagre 31 s and d3-dag 20 s for five thousand in layers of fifty), so that
 * those are swept here: each block goes to the mean place of its neighbours in the layer before, then after,
 * a few times over. That takes some tens of milliseconds.
 *
 * A graph that is very long and thin is broken into rows, as text is.
 */
import {
  coordGreedy,
  coordSimplex,
  decrossTwoLayer,
  graphStratify,
  layeringLongestPath,
  layeringSimplex,
  sugiyama,
  twolayerAgg,
} from "d3-dag";

export interface LayoutRequest {
  readonly id: number;
  readonly sizes: readonly (readonly [number, number])[];
  readonly edges: readonly (readonly [number, number])[];
  /** Layers from left to right, or from top to bottom on a narrow screen. */
  readonly direction: "right" | "down";
  /** Width by height of the place where it is shown. */
  readonly aspect: number;
}

export interface LayoutAnswer {
  readonly id: number;
  /** Left edge and top edge of each block, one after the other. */
  readonly places: Float32Array;
  readonly width: number;
  readonly height: number;
}

const GAP_BETWEEN_LAYERS = 64;
const GAP_IN_LAYER = 18;
const ROW_GAP = 90;
/** Blocks, and layers that edges pass, up to which the library lays out with all care, and with less. */
const CAREFUL = 120;
const MODERATE = 500;
const SWEEPS = 6;
/** How far layers move apart at most. */
const MAX_SPREAD = 1.7;
/** Times longer than the place is wide, before a graph is broken into rows. */
const TOO_LONG = 2.5;

export function layoutBlocks(request: LayoutRequest): LayoutAnswer {
  const { id, sizes, edges, direction, aspect } = request;
  const layers = layersOf(sizes.length, edges);
  const span = edges.reduce((sum, [from, to]) => sum + ((layers[to] ?? 0) - (layers[from] ?? 0)), 0);
  const effort = sizes.length + span;
  // Inside, layers lie below one another, as the library has them; turned at the end.
  const turned = direction === "right";
  const boxes = sizes.map(([width, height]) =>
    turned ? ([height, width] as const) : ([width, height] as const),
  );
  const centers = effort > MODERATE ? swept(boxes, edges, layers) : ordered(boxes, edges, effort <= CAREFUL);
  const places = new Float32Array(sizes.length * 2);
  for (const [index, [width, height]] of sizes.entries()) {
    const across = centers[2 * index] ?? 0;
    const along = centers[2 * index + 1] ?? 0;
    places[2 * index] = (turned ? along : across) - width / 2;
    places[2 * index + 1] = (turned ? across : along) - height / 2;
  }
  return { id, ...(turned ? inRows(places, sizes, aspect) : boundsOf(places, sizes)) };
}

/** Layers move apart where the place is wider than the graph needs, so that the room is used. */
function spread(
  places: Float32Array,
  sizes: Sizes,
  { width, height }: { width: number; height: number },
  aspect: number,
): void {
  const factor = Math.min(MAX_SPREAD, (height * aspect) / Math.max(1, width));
  if (factor <= 1) return;
  for (const [index, [own]] of sizes.entries()) {
    const center = (places[2 * index] ?? 0) + own / 2;
    places[2 * index] = center * factor - own / 2;
  }
}

type Sizes = LayoutRequest["sizes"];
type Edges = LayoutRequest["edges"];

/** Centres of the blocks, by the library. */
function ordered(boxes: Sizes, edges: Edges, careful: boolean): Float32Array {
  const centers = new Float32Array(boxes.length * 2);
  if (boxes.length === 0) return centers;
  const parents: string[][] = boxes.map(() => []);
  for (const [from, to] of edges) parents[to]?.push(String(from));
  const dag = graphStratify()(parents.map((parentIds, index) => ({ id: String(index), parentIds })));
  const operator = sugiyama()
    .nodeSize((node: { data: { id: string } }): [number, number] => {
      const [width, height] = boxes[Number(node.data.id)] ?? [0, 0];
      return [width, height];
    })
    .gap([GAP_IN_LAYER, GAP_BETWEEN_LAYERS]);
  const order = decrossTwoLayer().order(twolayerAgg());
  if (careful) operator.layering(layeringSimplex()).decross(order.passes(12)).coord(coordSimplex())(dag);
  else operator.layering(layeringLongestPath()).decross(order.passes(3)).coord(coordGreedy())(dag);
  for (const node of dag.nodes()) {
    const index = Number(node.data.id);
    centers[2 * index] = node.x;
    centers[2 * index + 1] = node.y;
  }
  return centers;
}

/** Centres of very many blocks: each layer in the order of its neighbours' mean places. */
function swept(boxes: Sizes, edges: Edges, layers: Int32Array): Float32Array {
  const rows: number[][] = [];
  for (const [index, layer] of layers.entries()) {
    let row = rows[layer];
    if (row === undefined) {
      row = [];
      rows[layer] = row;
    }
    row.push(index);
  }
  const before: number[][] = boxes.map(() => []);
  const after: number[][] = boxes.map(() => []);
  for (const [from, to] of edges) {
    before[to]?.push(from);
    after[from]?.push(to);
  }
  const centers = new Float32Array(boxes.length * 2);
  const place = (row: readonly number[]): void => {
    const width = row.reduce((sum, index) => sum + (boxes[index]?.[0] ?? 0) + GAP_IN_LAYER, -GAP_IN_LAYER);
    let x = -width / 2;
    for (const index of row) {
      const own = boxes[index]?.[0] ?? 0;
      centers[2 * index] = x + own / 2;
      x += own + GAP_IN_LAYER;
    }
  };
  for (const row of rows) place(row);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const down = sweep % 2 === 0;
    for (const row of down ? rows : rows.toReversed()) {
      const mean = new Map<number, number>();
      for (const index of row) {
        const near = (down ? before : after)[index] ?? [];
        const sum = near.reduce((total, other) => total + (centers[2 * other] ?? 0), 0);
        mean.set(index, near.length === 0 ? (centers[2 * index] ?? 0) : sum / near.length);
      }
      row.sort((a, b) => (mean.get(a) ?? 0) - (mean.get(b) ?? 0));
      place(row);
    }
  }
  let y = 0;
  let left = 0;
  for (const row of rows) {
    const height = row.reduce((most, index) => Math.max(most, boxes[index]?.[1] ?? 0), 0);
    for (const index of row) {
      centers[2 * index + 1] = y + height / 2;
      left = Math.min(left, (centers[2 * index] ?? 0) - (boxes[index]?.[0] ?? 0) / 2);
    }
    y += height + GAP_BETWEEN_LAYERS;
  }
  for (const index of boxes.keys()) centers[2 * index] = (centers[2 * index] ?? 0) - left;
  return centers;
}

/** The longest way from a root to each block. */
function layersOf(size: number, edges: Edges): Int32Array {
  const layers = new Int32Array(size);
  const out: number[][] = Array.from({ length: size }, () => []);
  const waiting = new Int32Array(size);
  for (const [from, to] of edges) {
    out[from]?.push(to);
    waiting[to] = (waiting[to] ?? 0) + 1;
  }
  const queue = [...waiting.keys()].filter((index) => waiting[index] === 0);
  for (let at = 0; at < queue.length; at++) {
    const from = queue[at] ?? 0;
    for (const to of out[from] ?? []) {
      layers[to] = Math.max(layers[to] ?? 0, (layers[from] ?? 0) + 1);
      waiting[to] = (waiting[to] ?? 0) - 1;
      if (waiting[to] === 0) queue.push(to);
    }
  }
  return layers;
}

function boundsOf(places: Float32Array, sizes: Sizes): Omit<LayoutAnswer, "id"> {
  let width = 0;
  let height = 0;
  for (const [index, [w, h]] of sizes.entries()) {
    width = Math.max(width, (places[2 * index] ?? 0) + w);
    height = Math.max(height, (places[2 * index + 1] ?? 0) + h);
  }
  return { places, width, height };
}

/** Breaks what is much longer than the place is wide into rows of the same length. */
function inRows(places: Float32Array, sizes: Sizes, aspect: number): Omit<LayoutAnswer, "id"> {
  const bounds = boundsOf(places, sizes);
  const { width, height } = bounds;
  if (width < height * aspect * TOO_LONG || width < 2_500) {
    spread(places, sizes, bounds, aspect);
    return boundsOf(places, sizes);
  }
  const rows = Math.max(2, Math.round(Math.sqrt(width / (aspect * (height + ROW_GAP)))));
  const length = width / rows;
  const starts: number[] = [];
  for (const [index] of sizes.entries()) {
    const x = places[2 * index] ?? 0;
    const row = Math.min(rows - 1, Math.floor(x / length));
    starts[row] = Math.min(starts[row] ?? Number.POSITIVE_INFINITY, x);
  }
  for (const [index] of sizes.entries()) {
    const x = places[2 * index] ?? 0;
    const row = Math.min(rows - 1, Math.floor(x / length));
    places[2 * index] = x - (starts[row] ?? 0);
    places[2 * index + 1] = (places[2 * index + 1] ?? 0) + row * (height + ROW_GAP);
  }
  return boundsOf(places, sizes);
}
