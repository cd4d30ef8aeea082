/**
 * Draws the graph on a canvas: only what is in view, and only as much of it as can be seen at the scale.
 */

import { stepLabel } from "../model/format.ts";
import type { RunStore } from "../model/run-store.ts";
import { LOOK_SIGNS, type Look, lookOf } from "../model/step-look.ts";
import { clipped } from "../parts/canvas.ts";
import type { Colors } from "../parts/theme.ts";
import { type Block, type BlockGraph, cellAt } from "./blocks.ts";

export interface View {
  /** Place of the canvas's corner in the graph, and pixels per unit. */
  x: number;
  y: number;
  scale: number;
}

export interface Picture {
  readonly graph: BlockGraph;
  /** In which the layers follow each other. */
  readonly direction: "right" | "down";
  readonly places: Float32Array;
}

/** Something that moves along an edge: work handed on. */
export interface Spark {
  readonly from: number;
  readonly to: number;
  /** 0 to 1. */
  at: number;
  readonly look: Look;
}

export interface PaintState {
  readonly view: View;
  readonly width: number;
  readonly height: number;
  readonly colors: Colors;
  readonly selected: string | undefined;
  readonly focused: string | undefined;
  /** Steps that the search found; undefined: there is no search. */
  readonly found: ReadonlySet<string> | undefined;
  readonly sparks: readonly Spark[];
}

/** Below this scale a step is a dot of its colour. */
const DOT_SCALE = 0.22;
const TEXT_SCALE = 0.62;
/** How far the arrow of a handoff reaches over its step. */
const LOOP_LIFT = 22;
/** A name is written no smaller than this on the screen, in pixels. */
const NAME_PIXELS = 8.5;
const SANS =
  '"Inter", ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Open Sans", sans-serif';

const signs = new Map<Look, Path2D>();
function signOf(look: Look): Path2D {
  let path = signs.get(look);
  if (path === undefined) {
    path = new Path2D(LOOK_SIGNS[look]);
    signs.set(look, path);
  }
  return path;
}

export function paint(
  context: CanvasRenderingContext2D,
  picture: Picture,
  store: RunStore,
  state: PaintState,
): void {
  const { view, width, height, colors } = state;
  const ratio = devicePixelRatio;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setTransform(
    ratio * view.scale,
    0,
    0,
    ratio * view.scale,
    -view.x * view.scale * ratio,
    -view.y * view.scale * ratio,
  );
  paintEdges(context, picture, state);
  const right = view.x + width / view.scale;
  const bottom = view.y + height / view.scale;
  for (const [index, block] of picture.graph.blocks.entries()) {
    const x = picture.places[2 * index] ?? 0;
    const y = picture.places[2 * index + 1] ?? 0;
    if (x > right || y > bottom || x + block.width < view.x || y + block.height < view.y) continue;
    if (block.field === undefined) paintStep(context, block, x, y, store, state);
    else paintField(context, block, x, y, store, state);
  }
  for (const spark of state.sparks) paintSpark(context, picture, spark, colors, view.scale);
}

function paintEdges(context: CanvasRenderingContext2D, picture: Picture, state: PaintState): void {
  const { view, width, height, colors, selected } = state;
  const chosen = selected === undefined ? undefined : picture.graph.blockOf.get(selected);
  const right = view.x + width / view.scale;
  const bottom = view.y + height / view.scale;
  const plain = new Path2D();
  const near = new Path2D();
  const back = new Path2D();
  for (const [from, to] of picture.graph.edges) {
    const edge = ends(picture, from, to);
    const { x1, y1, x2, y2 } = edge;
    if (Math.max(x1, x2) < view.x || Math.min(x1, x2) > right) continue;
    if (Math.max(y1, y2) < view.y || Math.min(y1, y2) > bottom) continue;
    const undoes = picture.graph.blocks[to]?.undoes === true;
    const path = from === chosen || to === chosen ? near : undoes ? back : plain;
    path.moveTo(x1, y1);
    if (view.scale < DOT_SCALE / 2) path.lineTo(x2, y2);
    else curve(path, edge);
  }
  context.lineWidth = Math.max(1.2, 0.7 / view.scale);
  context.strokeStyle = colors.line;
  context.globalAlpha = view.scale < DOT_SCALE ? 0.45 : 0.9;
  context.stroke(plain);
  context.setLineDash([7, 5]);
  context.strokeStyle = colors.looks.retrying;
  context.stroke(back);
  context.setLineDash([]);
  context.globalAlpha = 1;
  context.lineWidth *= 1.8;
  context.strokeStyle = colors.accent;
  context.stroke(near);
}

interface Edge {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  /** It leaves below and arrives above; else it goes from the right side to the left one. */
  readonly down: boolean;
}

function ends(picture: Picture, from: number, to: number): Edge {
  const a = picture.graph.blocks[from];
  const b = picture.graph.blocks[to];
  const ax = picture.places[2 * from] ?? 0;
  const ay = picture.places[2 * from + 1] ?? 0;
  const bx = picture.places[2 * to] ?? 0;
  const by = picture.places[2 * to + 1] ?? 0;
  const aw = a?.width ?? 0;
  const ah = a?.height ?? 0;
  // Blocks of layers from left to right that stand one below the other are joined like those of rows.
  const overlap = bx < ax + aw && bx + (b?.width ?? 0) > ax;
  if (by > ay + ah && (picture.direction === "down" || overlap)) {
    return { x1: ax + aw / 2, y1: ay + ah, x2: bx + (b?.width ?? 0) / 2, y2: by, down: true };
  }
  return { x1: ax + aw, y1: ay + ah / 2, x2: bx, y2: by + (b?.height ?? 0) / 2, down: false };
}

/** The points that bend the curve of an edge. */
function bends({ x1, y1, x2, y2, down }: Edge): [cx1: number, cy1: number, cx2: number, cy2: number] {
  if (down) return [x1, (y1 + y2) / 2, x2, (y1 + y2) / 2];
  const bend = x2 > x1 ? (x2 - x1) / 2 : Math.min(240, (x1 - x2) / 2 + 40);
  return [x1 + bend, y1, x2 - bend, y2];
}

function curve(path: Path2D, edge: Edge): void {
  path.bezierCurveTo(...bends(edge), edge.x2, edge.y2);
}

/** A point of the same curve. */
function along(edge: Edge, t: number): { x: number; y: number } {
  const { x1, y1, x2, y2 } = edge;
  const [cx1, cy1, cx2, cy2] = bends(edge);
  const u = 1 - t;
  return {
    x: u * u * u * x1 + 3 * u * u * t * cx1 + 3 * u * t * t * cx2 + t * t * t * x2,
    y: u * u * u * y1 + 3 * u * u * t * cy1 + 3 * u * t * t * cy2 + t * t * t * y2,
  };
}

/** The way of what moves: along the edge, or for a step that is handed on, over it and back in. */
function wayOf(picture: Picture, from: number, to: number): (t: number) => { x: number; y: number } {
  if (from !== to) {
    const edge = ends(picture, from, to);
    return (t) => along(edge, t);
  }
  const block = picture.graph.blocks[from];
  const { left, right, top, lift } = loopOver(
    block?.width ?? 0,
    picture.places[2 * from] ?? 0,
    picture.places[2 * from + 1] ?? 0,
  );
  return (t) => {
    const u = 1 - t;
    const y = top * (u * u * u + t * t * t) + lift * (3 * u * u * t + 3 * u * t * t);
    return { x: right * (u * u * u + 3 * u * u * t) + left * (3 * u * t * t + t * t * t), y };
  };
}

/** Where the arrow of a handoff leaves a block and comes back to it. */
function loopOver(
  width: number,
  x: number,
  y: number,
): { left: number; right: number; top: number; lift: number } {
  return { left: x + width * 0.3, right: x + width * 0.8, top: y - 1, lift: y - LOOP_LIFT };
}

/** A step that was handed on keeps an arrow over it, with how often where it was more than once. */
function paintHandoffs(
  context: CanvasRenderingContext2D,
  block: Block,
  x: number,
  y: number,
  times: number,
  colors: Colors,
): void {
  const { left, right, top, lift } = loopOver(block.width, x, y);
  context.strokeStyle = colors.looks.kept;
  context.fillStyle = colors.looks.kept;
  context.lineWidth = 1.8;
  context.beginPath();
  context.moveTo(right, top);
  context.bezierCurveTo(right, lift, left, lift, left, top - 4);
  context.stroke();
  context.beginPath();
  context.moveTo(left, top);
  context.lineTo(left - 4, top - 7);
  context.lineTo(left + 4, top - 7);
  context.fill();
  if (times < 2) return;
  context.font = `600 11px ${SANS}`;
  context.textBaseline = "alphabetic";
  context.fillText(`×${times}`, right + 6, top - 8);
}

function paintSpark(
  context: CanvasRenderingContext2D,
  picture: Picture,
  { from, to, at, look }: Spark,
  colors: Colors,
  scale: number,
): void {
  const size = Math.max(4, 3 / scale);
  const pointAt = wayOf(picture, from, to);
  context.fillStyle = colors.looks[look];
  for (let tail = 0; tail < 5; tail++) {
    const { x, y } = pointAt(Math.max(0, at - tail * 0.035));
    context.globalAlpha = (1 - tail / 5) * Math.min(1, (1 - at) * 6);
    context.beginPath();
    context.arc(x, y, size * (1 - tail * 0.14), 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
}

function paintStep(
  context: CanvasRenderingContext2D,
  block: Block,
  x: number,
  y: number,
  store: RunStore,
  state: PaintState,
): void {
  const { view, colors, found } = state;
  const index = store.history.indexOf(block.id);
  const at = store.history.stepAt(index);
  const look = lookWithWait(store, block.id, at.look);
  const dim = found !== undefined && !found.has(block.id);
  context.globalAlpha = dim ? 0.22 : 1;
  if (view.scale < DOT_SCALE) {
    const grow = Math.max(0, 2 / view.scale - block.height) / 2;
    context.fillStyle = look === "pending" ? colors.line : colors.looks[look];
    context.fillRect(x, y - grow, block.width, block.height + 2 * grow);
  } else {
    box(
      context,
      block,
      x,
      y,
      colors.fields[look],
      look === "pending" ? colors.line : colors.looks[look],
      look,
    );
    sign(context, look, x + 12, y + block.height / 2 - 9, 1.12, colors);
    if (view.scale >= TEXT_SCALE) texts(context, block, x, y, at.attempt, look, colors);
    else name(context, block, x, y, look, colors, view.scale);
    const times = store.history.handoffsOf(block.id, store.seq);
    if (times > 0) paintHandoffs(context, block, x, y, times, colors);
    const live = store.live.get(block.id);
    if (look === "running" && live?.fraction !== undefined && store.cursor.peek() === undefined) {
      context.fillStyle = colors.looks.running;
      context.fillRect(
        x + 10,
        y + block.height - 5,
        (block.width - 20) * Math.min(1, Math.max(0, live.fraction)),
        2.5,
      );
    }
  }
  outline(context, block, x, y, state, block.id);
  context.globalAlpha = 1;
}

function box(
  context: CanvasRenderingContext2D,
  block: Block,
  x: number,
  y: number,
  fill: string,
  stroke: string,
  look: Look | undefined,
): void {
  context.beginPath();
  context.roundRect(x, y, block.width, block.height, 9);
  context.fillStyle = fill;
  context.fill();
  context.lineWidth = look === "running" ? 2.2 : 1.3;
  context.strokeStyle = stroke;
  context.setLineDash(look === "skipped" || look === "cancelled" ? [5, 4] : []);
  context.stroke();
  context.setLineDash([]);
}

function sign(
  context: CanvasRenderingContext2D,
  look: Look,
  x: number,
  y: number,
  size: number,
  colors: Colors,
): void {
  context.save();
  context.translate(x, y);
  context.scale(size, size);
  context.lineWidth = 1.9;
  context.lineCap = "round";
  context.lineJoin = "round";
  context.strokeStyle = look === "pending" ? colors.faint : colors.looks[look];
  context.stroke(signOf(look));
  context.restore();
}

/** The name alone, large enough to be read from afar. */
function name(
  context: CanvasRenderingContext2D,
  block: Block,
  x: number,
  y: number,
  look: Look,
  colors: Colors,
  scale: number,
): void {
  const size = Math.min(24, NAME_PIXELS / scale);
  context.textBaseline = "middle";
  context.fillStyle = look === "pending" ? colors.soft : colors.ink;
  context.font = `550 ${size}px ${SANS}`;
  context.fillText(
    clipped(context, stepLabel(block.title), block.width - 42),
    x + 36,
    y + block.height / 2 + 1,
  );
}

function texts(
  context: CanvasRenderingContext2D,
  block: Block,
  x: number,
  y: number,
  attempt: number,
  look: Look,
  colors: Colors,
): void {
  const left = x + 38;
  const room = block.width - 46 - (attempt > 1 ? 26 : 0);
  context.textBaseline = "alphabetic";
  context.fillStyle = look === "pending" ? colors.soft : colors.ink;
  context.font = `600 13px ${SANS}`;
  context.fillText(clipped(context, stepLabel(block.title), room), left, y + 20);
  context.fillStyle = colors.soft;
  context.font = `400 11px ${SANS}`;
  context.fillText(clipped(context, block.subtitle, block.width - 46), left, y + 36);
  if (attempt <= 1) return;
  context.fillStyle = colors.looks.retrying;
  context.font = `600 11px ${SANS}`;
  context.textAlign = "right";
  context.fillText(`×${attempt}`, x + block.width - 9, y + 19);
  context.textAlign = "left";
}

function paintField(
  context: CanvasRenderingContext2D,
  block: Block,
  x: number,
  y: number,
  store: RunStore,
  state: PaintState,
): void {
  const { view, colors, found, selected } = state;
  box(context, block, x, y, colors.surface, colors.line, undefined);
  const cell = (block.field?.cell ?? 10) - 2;
  const done = { closed: 0 };
  // Cells of one look are filled together: changing the colour costs more than filling.
  const byLook = new Map<Look, number[]>();
  for (const [place, id] of block.steps.entries()) {
    const look = lookOf(store.history.looks[store.history.indexOf(id)] ?? 0);
    if (look === "done" || look === "skipped" || look === "kept") done.closed += 1;
    const places = byLook.get(look);
    if (places) places.push(place);
    else byLook.set(look, [place]);
  }
  for (const [look, places] of byLook) {
    context.fillStyle = look === "pending" ? colors.line : colors.looks[look];
    for (const place of places) {
      const at = cellAt(block, place);
      const id = block.steps[place] ?? "";
      context.globalAlpha =
        (look === "pending" ? 0.5 : 1) * (found !== undefined && !found.has(id) ? 0.18 : 1);
      context.fillRect(x + at.x, y + at.y, cell, cell);
      // Failures have a shape of their own among hundreds of cells.
      if (look === "failed" || look === "timed-out") {
        context.fillStyle = colors.surface;
        context.fillRect(x + at.x + cell / 2 - 1.2, y + at.y + 1.5, 2.4, cell - 3);
        context.fillStyle = colors.looks[look];
      }
      if (id === selected) {
        context.strokeStyle = colors.accent;
        context.lineWidth = 2.5;
        context.strokeRect(x + at.x - 2, y + at.y - 2, cell + 4, cell + 4);
      }
    }
  }
  context.globalAlpha = 1;
  if (view.scale >= 0.3) {
    context.fillStyle = colors.ink;
    context.font = `600 13px ${SANS}`;
    context.textBaseline = "alphabetic";
    const tally = `${done.closed}/${block.steps.length}`;
    context.font = `500 11px ${SANS}`;
    const tallyWidth = context.measureText(tally).width;
    context.font = `600 13px ${SANS}`;
    context.fillText(clipped(context, stepLabel(block.title), block.width - tallyWidth - 28), x + 10, y + 20);
    context.fillStyle = colors.soft;
    context.font = `500 11px ${SANS}`;
    context.fillText(tally, x + block.width - tallyWidth - 10, y + 20);
  }
  if (block.steps.length > 0 && selected === block.id && block.steps[0] !== selected)
    outline(context, block, x, y, state, block.id);
}

function outline(
  context: CanvasRenderingContext2D,
  block: Block,
  x: number,
  y: number,
  { selected, focused, colors, view }: PaintState,
  id: string,
): void {
  if (selected !== id && focused !== id) return;
  context.globalAlpha = 1;
  context.beginPath();
  context.roundRect(x - 4, y - 4, block.width + 8, block.height + 8, 12);
  context.lineWidth = Math.max(2, 1.6 / view.scale);
  context.strokeStyle = colors.accent;
  context.setLineDash(focused === id && selected !== id ? [6, 5] : []);
  context.stroke();
  context.setLineDash([]);
}

/** A ready step that waits for a person looks so; only the daemon knows. */
export function lookWithWait(store: RunStore, id: string, look: Look): Look {
  if (look !== "ready" && look !== "retrying") return look;
  return store.waits.some(({ step }) => step === id) ? "waiting" : look;
}
