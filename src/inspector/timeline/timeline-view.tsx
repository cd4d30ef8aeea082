/**
 * The run over time: how much waited and ran, and each attempt in the lane of its agent, queue and run.
 *
 * A click on an attempt opens its step; anywhere else it takes the whole page to that moment.
 */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { clock, duration, exactClock, stepLabel } from "../model/format.ts";
import { go, runAddress } from "../model/router.ts";
import type { RunStore } from "../model/run-store.ts";
import { LOOK_WORDS } from "../model/step-look.ts";
import { clipped, sizeCanvas } from "../parts/canvas.ts";
import { canvasColors, colorsVersion } from "../parts/theme.ts";
import { type Span, Spans } from "./spans.ts";

const NAMES = 138;
const NAMES_NARROW = 74;
const AXIS = 18;
/** Where the curve ends and the lanes begin. */
const CURVE = 48;
const MIN_ROW = 6;
const MAX_ROW = 16;
const LANE_GAP = 6;
/** The share of the time so far that a run which only waits is given beyond it. */
const IDLE_ROOM = 0.15;
/** In lower rows there is no room for what waited. */
const MIN_QUEUE_ROW = 8;
const MAX_HEIGHT = 4_000;
const FONT = "ui-sans-serif, system-ui, 'Open Sans', sans-serif";

interface Window {
  from: number;
  to: number;
}

export function TimelineView({ store, selected }: { store: RunStore; selected: string | undefined }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [zoom, setZoom] = useState<Window | undefined>(undefined);
  const [hover, setHover] = useState<{ span: Span; x: number; y: number } | undefined>(undefined);
  const spans = useMemo(() => new Spans(), [store.history]);
  const frame = store.frame.value;
  const cursor = store.cursor.value;
  spans.update(store.history);

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    const observer = new ResizeObserver(() =>
      setSize({ width: element.clientWidth, height: element.clientHeight }),
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const names = size.width < 620 ? NAMES_NARROW : NAMES;
  const whole = wholeWindow(store);
  const shown = zoom ?? whole;
  const room = size.height - CURVE - spans.lanes.length * LANE_GAP;
  const row = Math.max(MIN_ROW, Math.min(MAX_ROW, Math.floor(room / Math.max(1, spans.rows))));
  const height = Math.min(
    MAX_HEIGHT,
    Math.max(size.height, CURVE + spans.rows * row + spans.lanes.length * LANE_GAP),
  );
  const now = cursor === undefined ? whole.to : store.history.timeAt(cursor);
  const xOf = (at: number): number =>
    names + ((at - shown.from) / Math.max(1, shown.to - shown.from)) * (size.width - names - 10);
  const timeOf = (x: number): number =>
    shown.from + ((x - names) / Math.max(1, size.width - names - 10)) * (shown.to - shown.from);

  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || size.width === 0 || store.head.value === undefined) return;
    const asked = requestAnimationFrame(() => {
      sizeCanvas(context.canvas, size.width, height);
      paintTimeline(context, spans, {
        width: size.width,
        height,
        row,
        names,
        shown,
        now,
        xOf,
        selected,
        cursor,
      });
    });
    return () => cancelAnimationFrame(asked);
  });

  const spanUnder = (x: number, y: number): Span | undefined => {
    let top = CURVE;
    for (const lane of spans.lanes) {
      const bottom = top + lane.rows.length * row;
      if (y >= top && y < bottom + LANE_GAP) {
        const at = Math.floor((y - top) / row);
        return lane.spans.findLast((span) => {
          if (span.row !== at || span.startSeq > store.seq) return false;
          const end = span.endSeq <= store.seq ? (span.endedAt ?? now) : now;
          return x >= xOf(span.startedAt) - 2 && x <= Math.max(xOf(end), xOf(span.startedAt) + 3) + 1;
        });
      }
      top = bottom + LANE_GAP;
    }
    return undefined;
  };
  const onClick = (event: MouseEvent): void => {
    const span = spanUnder(event.offsetX, event.offsetY);
    if (span !== undefined) go(runAddress(store.run, "steps", span.step));
    else if (event.offsetX >= names) store.seek(store.history.seqAt(timeOf(event.offsetX)));
  };
  const onMove = (event: PointerEvent): void => {
    const span = spanUnder(event.offsetX, event.offsetY);
    setHover(span === undefined ? undefined : { span, x: event.offsetX, y: event.offsetY });
    if (event.buttons === 1 && span === undefined && event.offsetX >= names) {
      store.seek(store.history.seqAt(timeOf(event.offsetX)));
    }
  };
  const onWheel = (event: WheelEvent): void => {
    if (!event.ctrlKey && !event.metaKey && !event.shiftKey) return;
    event.preventDefault();
    const about = timeOf(event.offsetX);
    const factor = Math.exp((event.deltaY || event.deltaX) * 0.002);
    const from = Math.max(whole.from, about - (about - shown.from) * factor);
    const to = Math.min(whole.to, about + (shown.to - about) * factor);
    setZoom(to - from >= whole.to - whole.from - 1 ? undefined : { from, to });
  };

  return (
    <div class="timeline" ref={box} data-frame={frame % 2} data-colors={colorsVersion.value}>
      <canvas
        ref={canvas}
        style={{ width: `${size.width}px`, height: `${height}px` }}
        role="img"
        aria-label={`Timeline: ${spans.lanes.length} agents over ${duration(whole.to - whole.from)}. The tab Steps has the times as a list.`}
        onClick={onClick}
        onPointerMove={onMove}
        onPointerLeave={() => setHover(undefined)}
        onDblClick={() => setZoom(undefined)}
        onWheel={onWheel}
      />
      {hover !== undefined && (
        <SpanHint span={hover.span} x={hover.x} y={hover.y} now={now} width={size.width} />
      )}
    </div>
  );
}

function SpanHint({
  span,
  x,
  y,
  now,
  width,
}: {
  span: Span;
  x: number;
  y: number;
  now: number;
  width: number;
}) {
  const end = span.endedAt ?? now;
  return (
    <div
      class="hint"
      style={{ left: `${Math.min(x + 12, width - 220)}px`, top: `${y + 14}px` }}
      aria-hidden="true"
    >
      <strong>{stepLabel(span.step)}</strong>
      {span.attempt > 1 && <span> attempt {span.attempt}</span>}
      <div>
        {LOOK_WORDS[span.look]} · {duration(end - span.startedAt)} after{" "}
        {duration(span.startedAt - span.readyAt)} in the queue
      </div>
      <div class="soft">
        {span.agent} · {exactClock(span.startedAt)}
      </div>
    </div>
  );
}

function wholeWindow({ history, head, cursor }: RunStore): Window {
  const from = history.times[0] ?? 0;
  const ended = head.value?.endedAt;
  const last = history.times.at(-1) ?? from;
  // A run that goes on ends now; one that is looked at as it was keeps its length, so that nothing jumps.
  const open = ended === null || ended === undefined;
  // While a run only waits, the time passes without anything to show: what happened keeps its room.
  const idle = head.value?.status === "waiting" || head.value?.status === "paused";
  const room = idle ? last + IDLE_ROOM * (last - from) + 2_000 : Number.POSITIVE_INFINITY;
  const to = open && cursor.value === undefined ? Math.max(last, Math.min(room, Date.now())) : last;
  return { from, to: Math.max(to, from + 1) };
}

interface TimelinePaint {
  width: number;
  height: number;
  row: number;
  names: number;
  shown: Window;
  now: number;
  xOf: (at: number) => number;
  selected: string | undefined;
  cursor: number | undefined;
}

function paintTimeline(context: CanvasRenderingContext2D, spans: Spans, state: TimelinePaint): void {
  const { width, height, row, names, shown, now, xOf, selected, cursor } = state;
  const colors = canvasColors();
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.textBaseline = "middle";
  paintAxis(context, state, colors.line, colors.soft);
  paintCurve(context, spans, state);
  context.save();
  context.beginPath();
  context.rect(names - 1, 0, width - names + 1, height);
  context.clip();
  let top = CURVE;
  paintQueues(context, spans, state, colors.looks.ready);
  for (const lane of spans.lanes) {
    for (const span of lane.spans) {
      if (cursor !== undefined && span.startSeq > cursor) break;
      const over = cursor === undefined || span.endSeq <= cursor;
      const end = over ? (span.endedAt ?? now) : now;
      if (end < shown.from || span.readyAt > shown.to) continue;
      const x = xOf(span.startedAt);
      const y = top + span.row * row;
      const length = Math.max(1.5, xOf(end) - x);
      const look = over ? span.look : "running";
      const thick = Math.max(2, row - (row > 7 ? 3 : 1));
      context.fillStyle = colors.looks[look];
      context.fillRect(x, y, length, thick);
      if (look === "failed" || look === "timed-out") {
        context.fillStyle = colors.surface;
        context.fillRect(x + length - 3, y + 1, 1.5, thick - 2);
      }
      if (span.step === selected) {
        context.strokeStyle = colors.ink;
        context.lineWidth = 1.5;
        context.strokeRect(x - 1, y - 1, length + 2, thick + 2);
      }
      if (row >= 12 && length > 44) {
        context.fillStyle = colors.surface;
        context.font = `500 10px ${FONT}`;
        context.save();
        context.beginPath();
        context.rect(x, y, length - 3, thick);
        context.clip();
        context.fillText(stepLabel(span.step), x + 4, y + thick / 2 + 0.5);
        context.restore();
      }
    }
    top += lane.rows.length * row + LANE_GAP;
  }
  const at = xOf(now);
  context.fillStyle = colors.accent;
  context.fillRect(at - 0.75, 0, 1.5, height);
  context.restore();
  top = CURVE;
  context.font = `500 11px ${FONT}`;
  for (const lane of spans.lanes) {
    const middle = top + (lane.rows.length * row) / 2;
    context.fillStyle = colors.soft;
    context.fillText(clipped(context, lane.agent, names - 14), 10, middle);
    context.fillStyle = colors.line;
    context.globalAlpha = 0.6;
    context.fillRect(0, top + lane.rows.length * row + LANE_GAP / 2, width, 0.75);
    context.globalAlpha = 1;
    top += lane.rows.length * row + LANE_GAP;
  }
}

/** How long each attempt waited before it ran: a thin line that leads to it, under everything that ran. */
function paintQueues(
  context: CanvasRenderingContext2D,
  spans: Spans,
  { row, xOf, cursor }: TimelinePaint,
  color: string,
): void {
  if (row < MIN_QUEUE_ROW) return;
  context.fillStyle = color;
  let top = CURVE;
  for (const lane of spans.lanes) {
    context.globalAlpha = Math.max(0.12, Math.min(0.6, 40 / lane.spans.length));
    for (const span of lane.spans) {
      if (cursor !== undefined && span.startSeq > cursor) break;
      const from = xOf(span.readyAt);
      context.fillRect(from, top + span.row * row + row - 4, xOf(span.startedAt) - from, 1.5);
    }
    top += lane.rows.length * row + LANE_GAP;
  }
  context.globalAlpha = 1;
}

function paintAxis(
  context: CanvasRenderingContext2D,
  { shown, width, height, names, xOf }: TimelinePaint,
  line: string,
  ink: string,
): void {
  const step = tickStep(shown.to - shown.from, Math.max(2, Math.floor((width - names) / 90)));
  context.font = `400 10px ${FONT}`;
  for (let offset = 0; shown.from + offset <= shown.to; offset += step) {
    const x = xOf(shown.from + offset);
    if (x < names - 1) continue;
    context.fillStyle = line;
    context.globalAlpha = 0.5;
    context.fillRect(x, 4, 0.75, height - 4);
    context.globalAlpha = 1;
    context.fillStyle = ink;
    const text = offset === 0 ? clock(shown.from) : `+${duration(offset)}`;
    if (x < width - 40) context.fillText(text, x + 4, AXIS / 2 + 1);
  }
}

function paintCurve(
  context: CanvasRenderingContext2D,
  spans: Spans,
  { names, width, now, xOf }: TimelinePaint,
): void {
  const colors = canvasColors();
  let most = 1;
  for (const { queued, running } of spans.loads) most = Math.max(most, queued, running);
  const yOf = (amount: number): number => CURVE - 4 - (amount / most) * (CURVE - AXIS - 6);
  const draw = (pick: (load: { queued: number; running: number }) => number, color: string): void => {
    const path = new Path2D();
    path.moveTo(names, yOf(0));
    let last = 0;
    for (const load of spans.loads) {
      if (load.at > now) break;
      const x = xOf(load.at);
      const amount = pick(load);
      path.lineTo(x, yOf(last));
      path.lineTo(x, yOf(amount));
      last = amount;
    }
    path.lineTo(xOf(now), yOf(last));
    path.lineTo(xOf(now), yOf(0));
    context.fillStyle = color;
    context.globalAlpha = 0.22;
    context.fill(path);
    context.globalAlpha = 0.9;
    context.strokeStyle = color;
    context.lineWidth = 1;
    context.stroke(path);
    context.globalAlpha = 1;
  };
  context.save();
  context.beginPath();
  context.rect(names, AXIS - 2, width - names, CURVE - AXIS + 2);
  context.clip();
  draw(({ queued }) => queued, colors.looks.ready);
  draw(({ running }) => running, colors.looks.running);
  context.restore();
  context.font = `500 10px ${FONT}`;
  context.fillStyle = colors.looks.running;
  context.fillText("running", 10, AXIS + 7);
  context.fillStyle = colors.looks.ready;
  context.fillText("queued", 10, AXIS + 20);
}

/** A round step, so that there are about `ticks` of them. */
function tickStep(span: number, ticks: number): number {
  const rough = span / ticks;
  const steps = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5,
    216e5, 864e5,
  ];
  return steps.find((step) => step >= rough) ?? Math.ceil(rough / 864e5) * 864e5;
}
