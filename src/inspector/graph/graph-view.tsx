/**
 * The run's graph: pan, zoom, fit, search, and the way through it by keyboard.
 *
 * Owns the view onto the picture and what moves in it; drawing is the painter's, places are the layout's.
 * The canvas has one name for screen readers and says which step is reached; the list of steps beside it holds
 * the same facts as text.
 */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { plural, stepLabel, wordsOf } from "../model/format.ts";
import { go, runAddress } from "../model/router.ts";
import type { RunStore } from "../model/run-store.ts";
import { LOOK_WORDS } from "../model/step-look.ts";
import { announce } from "../parts/announcer.tsx";
import { sizeCanvas } from "../parts/canvas.ts";
import { calmMotion, canvasColors, colorsVersion } from "../parts/theme.ts";
import { type BlockGraph, blockGraph, cellUnder } from "./blocks.ts";
import { LayoutClient } from "./layout-client.ts";
import { type Picture, paint, type Spark, type View } from "./painter.ts";

const MAX_SCALE = 2.2;
/** Sparks that move at once; more would be fog. */
const MAX_SPARKS = 160;
const SPARK_MS = 900;
const NARROW = 620;
/** Room that the name of a step under the pointer may need. */
const HINT_WIDTH = 220;
const HINT_HEIGHT = 96;

export interface GraphViewProps {
  store: RunStore;
  selected: string | undefined;
  search: string;
}

export function GraphView({ store, selected, search }: GraphViewProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const stage = useRef<HTMLDivElement>(null);
  const [picture, setPicture] = useState<Picture | undefined>(undefined);
  const [view, setView] = useState<View | undefined>(undefined);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [focused, setFocused] = useState<string | undefined>(undefined);
  const [under, setUnder] = useState<{ id: string; x: number; y: number } | undefined>(undefined);
  const sparks = useRef<Spark[]>([]);
  const moved = useRef(false);
  const graph = store.graph.value;
  const frame = store.frame.value;
  const items = useItems(store);
  const blocks = useMemo(() => blockGraph(graph?.steps ?? [], items), [graph, items]);
  const found = useMemo(() => matches(blocks, store, search), [blocks, search]);

  const layout = useRef<LayoutClient | undefined>(undefined);
  useEffect(() => {
    const client = new LayoutClient(({ places }, asked) => setPicture({ ...asked, places }));
    layout.current = client;
    return () => client.close();
  }, []);
  const narrow = size.width > 0 && size.width < NARROW;
  const aspect = size.height > 0 ? Math.max(0.5, size.width / size.height) : 1.6;
  useEffect(() => {
    // Before the steps are here there is nothing to draw, nor to be walked through.
    if (size.width > 0 && blocks.blocks.length > 0)
      layout.current?.ask(blocks, narrow ? "down" : "right", aspect);
  }, [blocks, narrow, size.width > 0]);

  useLayoutEffect(() => {
    const element = stage.current;
    if (element === null) return;
    const observer = new ResizeObserver(([entry]) => {
      const box = entry?.contentRect;
      if (box) setSize({ width: Math.round(box.width), height: Math.round(box.height) });
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  // Until the reader has moved it, the graph is kept in full view.
  useEffect(() => {
    if (picture && size.width > 0 && !moved.current) setView(fitted(picture, size));
  }, [picture, size.width, size.height]);

  useEffect(() => {
    if (picture) addSparks(sparks.current, picture, store);
  }, [frame, picture]);

  // Drawn at once when something has changed, then at every frame while something moves.
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !picture || !view || size.width === 0) return;
    let asked = 0;
    let last = performance.now();
    const draw = (now: number): void => {
      const passed = (now - last) / SPARK_MS;
      last = now;
      for (const spark of sparks.current) spark.at += passed;
      sparks.current = sparks.current.filter(({ at }) => at < 1);
      sizeCanvas(context.canvas, size.width, size.height);
      paint(context, picture, store, {
        view,
        ...size,
        colors: canvasColors(),
        selected,
        focused,
        found,
        sparks: sparks.current,
      });
      context.canvas.dataset.drawn = "true";
      if (sparks.current.length > 0) asked = requestAnimationFrame(draw);
    };
    asked = requestAnimationFrame(draw);
    return () => cancelAnimationFrame(asked);
  }, [picture, view, size, frame, selected, focused, found, colorsVersion.value, store.waits]);

  const zoomBy = (factor: number, x = size.width / 2, y = size.height / 2): void => {
    if (!view || !picture) return;
    moved.current = true;
    const least = Math.min(0.2, fitted(picture, size).scale * 0.6);
    const scale = Math.min(MAX_SCALE, Math.max(least, view.scale * factor));
    setView({ scale, x: view.x + x / view.scale - x / scale, y: view.y + y / view.scale - y / scale });
  };
  const showAll = (): void => {
    moved.current = false;
    if (picture) setView(fitted(picture, size));
  };
  const show = (id: string): void => {
    const index = picture?.graph.blockOf.get(id);
    if (!picture || !view || index === undefined) return;
    moved.current = true;
    const block = picture.graph.blocks[index];
    const scale = Math.max(view.scale, 0.7);
    setView({
      scale,
      x: (picture.places[2 * index] ?? 0) + (block?.width ?? 0) / 2 - size.width / 2 / scale,
      y: (picture.places[2 * index + 1] ?? 0) + (block?.height ?? 0) / 2 - size.height / 2 / scale,
    });
  };
  useEffect(() => {
    const [only] = found ?? [];
    if (found?.size === 1 && only !== undefined) show(only);
  }, [found]);

  const open = (id: string): void => go(runAddress(store.run, "steps", id));
  const pointer = usePointer({
    view,
    setView: (next) => {
      moved.current = true;
      setView(next);
    },
    zoomBy,
    onTap: (x, y) => {
      const id = picture && view ? stepUnder(picture, view, x, y) : undefined;
      if (id !== undefined) open(id);
    },
    onHover: (at) => {
      const id = picture && view && at ? stepUnder(picture, view, at.x, at.y) : undefined;
      setUnder(id === undefined || at === undefined ? undefined : { id, ...at });
    },
  });
  const onKeyDown = (event: KeyboardEvent): void => {
    if (!picture) return;
    const at = focused ?? selected;
    const next = at === undefined ? picture.graph.blocks[0]?.id : neighbour(picture, at, event.key);
    if (event.key === "Enter" && at !== undefined) open(at);
    else if (event.key === "+" || event.key === "=") zoomBy(1.25);
    else if (event.key === "-") zoomBy(0.8);
    else if (event.key === "0") showAll();
    else if (event.key.startsWith("Arrow") && next !== undefined) {
      setFocused(next);
      show(next);
      const step = store.history.stepAt(store.history.indexOf(next));
      announce(`${stepLabel(next)}, ${LOOK_WORDS[step.look]}. Enter opens it.`);
    } else return;
    event.preventDefault();
  };

  const label = graph ? `Graph of ${plural(graph.steps.length, "step")}` : "Graph";
  return (
    <div class="graph" ref={stage}>
      {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: it takes keys and points of its own. */}
      <canvas
        ref={canvas}
        tabIndex={0}
        role="application"
        aria-label={`${label}. Arrow keys go from step to step, Enter opens one. The tab Steps has the same as a list.`}
        onKeyDown={onKeyDown}
        {...pointer}
      />
      {under !== undefined && <StepHint store={store} {...under} size={size} />}
      {graph === undefined && <p class="graph-note">Reading the log …</p>}
      {picture === undefined && (graph?.steps.length ?? 0) > 0 && (
        <p class="graph-note">Laying out {plural(graph?.steps.length ?? 0, "step")} …</p>
      )}
      {graph !== undefined && graph.steps.length === 0 && (
        <p class="graph-note">There is no workflow yet: the run is being planned.</p>
      )}
      <div class="graph-tools" role="group" aria-label="View of the graph">
        <button type="button" class="tool" aria-label="Zoom in" onClick={() => zoomBy(1.3)}>
          +
        </button>
        <button type="button" class="tool" aria-label="Zoom out" onClick={() => zoomBy(0.77)}>
          −
        </button>
        <button type="button" class="tool" aria-label="Fit the whole graph" onClick={showAll}>
          <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
            <path
              d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"
              fill="none"
              stroke="currentColor"
              stroke-width="1.6"
            />
          </svg>
        </button>
      </div>
    </div>
  );
}

/** Names the step under the pointer: in a large graph there is no room for names. */
function StepHint({
  store,
  id,
  x,
  y,
  size,
}: {
  store: RunStore;
  id: string;
  x: number;
  y: number;
  size: { width: number; height: number };
}) {
  const isLow = y > size.height - HINT_HEIGHT;
  const step = store.step(id);
  const { look, agent, attempt } = store.history.stepAt(store.history.indexOf(id));
  return (
    <div
      class="hint"
      style={{
        left: `${Math.max(0, Math.min(x + 12, size.width - HINT_WIDTH))}px`,
        ...(isLow ? { bottom: `${size.height - y + 10}px` } : { top: `${y + 14}px` }),
      }}
      aria-hidden="true"
    >
      <strong>{stepLabel(id)}</strong>
      <div>
        {LOOK_WORDS[look]}
        {attempt > 1 && ` · attempt ${attempt}`}
        {step !== undefined && ` · ${step.role}.${step.task}`}
      </div>
      {agent !== null && <div class="soft">{agent}</div>}
    </div>
  );
}

/** Items of fan-outs by their step: found among the steps of the history, which grow with the run. */
function useItems(store: RunStore): ReadonlyMap<string, string[]> {
  const known = store.history.ids.length;
  return useMemo(() => {
    const items = new Map<string, string[]>();
    for (const id of store.history.ids) {
      const at = id.indexOf("~");
      // What undoes a step is made from it, too, and is no item: `reserve~undo`.
      if (at < 0 || !/^\d+$/.test(id.slice(at + 1))) continue;
      const of = id.slice(0, at);
      const made = items.get(of);
      if (made) made.push(id);
      else items.set(of, [id]);
    }
    for (const made of items.values()) made.sort((a, b) => Number(a.split("~")[1]) - Number(b.split("~")[1]));
    return items;
  }, [known, store.history]);
}

function matches(blocks: BlockGraph, store: RunStore, search: string): ReadonlySet<string> | undefined {
  const words = wordsOf(search);
  if (words.length === 0) return undefined;
  const found = new Set<string>();
  for (const block of blocks.blocks) {
    for (const id of block.steps) {
      const step = store.step(id);
      const text = `${stepLabel(id)} ${step?.role ?? ""} ${step?.task ?? ""}`.toLowerCase();
      if (words.every((word) => text.includes(word))) found.add(id);
    }
  }
  return found;
}

function fitted({ graph, places }: Picture, size: { width: number; height: number }): View {
  let width = 1;
  let height = 1;
  for (const [index, block] of graph.blocks.entries()) {
    width = Math.max(width, (places[2 * index] ?? 0) + block.width);
    height = Math.max(height, (places[2 * index + 1] ?? 0) + block.height);
  }
  const margin = Math.min(48, size.width * 0.06);
  const scale = Math.min(1.25, (size.width - 2 * margin) / width, (size.height - 2 * margin) / height);
  return { scale, x: width / 2 - size.width / 2 / scale, y: height / 2 - size.height / 2 / scale };
}

function stepUnder({ graph, places }: Picture, view: View, x: number, y: number): string | undefined {
  const gx = view.x + x / view.scale;
  const gy = view.y + y / view.scale;
  const slack = Math.max(0, 3 / view.scale);
  for (const [index, block] of graph.blocks.entries()) {
    const left = places[2 * index] ?? 0;
    const top = places[2 * index + 1] ?? 0;
    if (
      gx < left - slack ||
      gy < top - slack ||
      gx > left + block.width + slack ||
      gy > top + block.height + slack
    )
      continue;
    if (block.field === undefined) return block.id;
    const place = cellUnder(block, gx - left, gy - top);
    return block.steps[place] ?? block.id;
  }
  return undefined;
}

/** The step that an arrow key leads to: along the edges, or beside within the layer. */
function neighbour({ graph, places }: Picture, id: string, key: string): string | undefined {
  const at = graph.blockOf.get(id);
  if (at === undefined) return undefined;
  const field = graph.blocks[at];
  if (field?.field !== undefined && field.steps.includes(id) && (key === "ArrowUp" || key === "ArrowDown")) {
    return field.steps[field.steps.indexOf(id) + (key === "ArrowDown" ? 1 : -1)] ?? id;
  }
  if (key === "ArrowRight" || key === "ArrowLeft") {
    const edge = graph.edges.find(([from, to]) => (key === "ArrowRight" ? from === at : to === at));
    const next = edge?.[key === "ArrowRight" ? 1 : 0];
    return next === undefined ? undefined : (graph.blocks[next]?.steps[0] ?? graph.blocks[next]?.id);
  }
  if (key !== "ArrowUp" && key !== "ArrowDown") return undefined;
  const x = places[2 * at] ?? 0;
  const y = places[2 * at + 1] ?? 0;
  let best: { id: string; far: number } | undefined;
  for (const [index, block] of graph.blocks.entries()) {
    if (index === at || Math.abs((places[2 * index] ?? 0) - x) > block.width / 2) continue;
    const far = ((places[2 * index + 1] ?? 0) - y) * (key === "ArrowDown" ? 1 : -1);
    if (far > 0 && (best === undefined || far < best.far)) best = { id: block.steps[0] ?? block.id, far };
  }
  return best?.id;
}

/** Work that was handed on in the last frame moves along its edges. */
function addSparks(sparks: Spark[], { graph }: Picture, store: RunStore): void {
  if (calmMotion()) return;
  for (const { actor, kind, event, to } of store.recent) {
    if (sparks.length >= MAX_SPARKS) return;
    if (kind !== "step" || to !== "ready") continue;
    const target = graph.blockOf.get(actor);
    if (event === "hand off" && target !== undefined)
      sparks.push({ from: target, to: target, at: 0, look: "kept" });
    if (event !== "dependencies met") continue;
    for (const dependency of store.step(actor)?.dependsOn ?? []) {
      const from = graph.blockOf.get(dependency);
      if (from !== undefined && target !== undefined && from !== target)
        sparks.push({ from, to: target, at: 0, look: "running" });
    }
  }
}

interface PointerUse {
  view: View | undefined;
  setView: (view: View) => void;
  zoomBy: (factor: number, x: number, y: number) => void;
  onTap: (x: number, y: number) => void;
  onHover: (at: { x: number; y: number } | undefined) => void;
}

/** Dragging, pinching, the wheel, a tap that is none of them, and a mouse that only passes over. */
function usePointer({ view, setView, zoomBy, onTap, onHover }: PointerUse) {
  const held = useRef(new Map<number, { x: number; y: number }>());
  const travel = useRef(0);
  const onPointerDown = (event: PointerEvent): void => {
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    held.current.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    onHover(undefined);
    if (held.current.size === 1) travel.current = 0;
  };
  const onPointerMove = (event: PointerEvent): void => {
    const before = held.current.get(event.pointerId);
    if (!before && event.pointerType === "mouse") onHover({ x: event.offsetX, y: event.offsetY });
    if (!before || !view) return;
    const now = { x: event.offsetX, y: event.offsetY };
    const other = [...held.current].find(([id]) => id !== event.pointerId)?.[1];
    held.current.set(event.pointerId, now);
    travel.current += Math.hypot(now.x - before.x, now.y - before.y);
    if (other) {
      const was = Math.hypot(before.x - other.x, before.y - other.y);
      const is = Math.hypot(now.x - other.x, now.y - other.y);
      if (was > 0) zoomBy(is / was, (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else if (travel.current > 3) {
      setView({
        ...view,
        x: view.x - (now.x - before.x) / view.scale,
        y: view.y - (now.y - before.y) / view.scale,
      });
    }
  };
  const onPointerUp = (event: PointerEvent): void => {
    if (held.current.delete(event.pointerId) && held.current.size === 0 && travel.current <= 3) {
      onTap(event.offsetX, event.offsetY);
    }
  };
  const onPointerCancel = (event: PointerEvent): void => {
    held.current.delete(event.pointerId);
  };
  const onWheel = (event: WheelEvent): void => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), event.offsetX, event.offsetY);
  };
  const onPointerLeave = (): void => onHover(undefined);
  return { onPointerDown, onPointerMove, onPointerUp, onPointerCancel, onPointerLeave, onWheel };
}
