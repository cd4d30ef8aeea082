/**
 * A step's machine drawn as a statechart, with the way that this step took through it.
 *
 * States and transitions come from the machine itself; only where the usual five states stand is fixed here,
 * so that the drawing is the same for every step. A state that is not known yet gets a place of its own.
 */
import { useEffect, useState } from "preact/hooks";
import type { MachinesView, Transition } from "../../http/api.ts";
import { ask } from "../model/api-client.ts";
import { lookOfState } from "../model/step-look.ts";

const PLACES: Readonly<Record<string, readonly [number, number]>> = {
  pending: [58, 76],
  ready: [190, 76],
  running: [322, 76],
  done: [446, 34],
  failed: [446, 118],
};
const WIDTH = 84;
const HEIGHT = 32;

interface Arrow {
  from: string;
  to: string;
  events: string[];
}

let machine: Promise<MachinesView> | undefined;

export function Statechart({
  transitions,
  state,
  outcome,
}: {
  transitions: readonly Transition[];
  state: string;
  outcome: string | null;
}) {
  const [arrows, setArrows] = useState<Arrow[]>([]);
  useEffect(() => {
    machine ??= ask<MachinesView>("/api/machines");
    machine.then(
      (machines) => setArrows(arrowsOf(machines.step)),
      () => {
        machine = undefined; // Asked for again with the next step.
      },
    );
  }, []);
  const taken = new Map<string, number>();
  for (const { from, to } of transitions) taken.set(`${from} ${to}`, (taken.get(`${from} ${to}`) ?? 0) + 1);
  const been = new Set(["pending", ...transitions.flatMap(({ from, to }) => [from, to])]);
  const states = [...new Set([...Object.keys(PLACES), ...arrows.flatMap(({ from, to }) => [from, to])])];
  const placeOf = (name: string): readonly [number, number] =>
    PLACES[name] ?? [190 + 60 * Math.max(0, states.indexOf(name) - 5), 160];
  const way = transitions.map(({ to }) => to);
  return (
    <svg
      class="statechart"
      viewBox="0 0 504 160"
      role="img"
      aria-label={`The step's machine. Its way: pending${way.map((to) => `, ${to}`).join("")}.`}
    >
      <defs>
        {["tip", "tip-on"].map((id) => (
          <marker
            key={id}
            id={id}
            {...(id === "tip-on" ? { class: "on" } : {})}
            viewBox="0 0 8 8"
            refX="6.5"
            refY="4"
            markerWidth="7"
            markerHeight="7"
            orient="auto-start-reverse"
          >
            <path d="M0 .8L7 4L0 7.2z" />
          </marker>
        ))}
      </defs>
      {arrows.map(({ from, to, events }) => {
        const times = taken.get(`${from} ${to}`) ?? 0;
        const { path, x, y } = arrowPath(placeOf(from), placeOf(to), from, to);
        return (
          <g key={`${from} ${to}`} class={times > 0 ? "arrow on" : "arrow"}>
            <path d={path} marker-end={times > 0 ? "url(#tip-on)" : "url(#tip)"}>
              <title>{`${from} → ${to}: ${events.join(", ")}`}</title>
            </path>
            {times > 1 && (
              <text x={x} y={y} class="times">
                ×{times}
              </text>
            )}
          </g>
        );
      })}
      {states.map((name) => {
        const [x, y] = placeOf(name);
        const now = name === state;
        const look = lookOfState(name, now ? outcome : null);
        return (
          <g key={name} class={`state look-${look}${now ? " now" : ""}${been.has(name) ? " been" : ""}`}>
            <rect x={x - WIDTH / 2} y={y - HEIGHT / 2} width={WIDTH} height={HEIGHT} rx={HEIGHT / 2} />
            <text x={x} y={y + 4.5}>
              {name}
            </text>
          </g>
        );
      })}
    </svg>
  );
}

/** Every pair of states with an event that leads from one to the other. */
function arrowsOf(config: unknown): Arrow[] {
  const arrows = new Map<string, Arrow>();
  const states = (config as { states?: Record<string, { on?: Record<string, unknown> }> }).states ?? {};
  for (const [from, { on }] of Object.entries(states)) {
    for (const [event, targets] of Object.entries(on ?? {})) {
      for (const transition of Array.isArray(targets) ? targets : [targets]) {
        const to = typeof transition === "string" ? transition : (transition as { target?: string }).target;
        if (to === undefined) continue;
        const arrow = arrows.get(`${from} ${to}`) ?? { from, to, events: [] };
        if (!arrow.events.includes(event)) arrow.events.push(event);
        arrows.set(`${from} ${to}`, arrow);
      }
    }
  }
  return [...arrows.values()];
}

function arrowPath(
  [ax, ay]: readonly [number, number],
  [bx, by]: readonly [number, number],
  from: string,
  to: string,
): { path: string; x: number; y: number } {
  const w = WIDTH / 2 + 2;
  const h = HEIGHT / 2 + 2;
  if (ay === by && bx > ax) return { path: `M${ax + w} ${ay}L${bx - w} ${by}`, x: (ax + bx) / 2, y: ay - 7 };
  // Back along the row: beneath it.
  if (ay === by)
    return {
      path: `M${ax - 14} ${ay + h}Q${(ax + bx) / 2} ${ay + 56} ${bx + 14} ${by + h}`,
      x: (ax + bx) / 2,
      y: ay + 54,
    };
  if (bx < ax)
    return {
      path: `M${ax - w} ${ay + 6}Q${(ax + bx) / 2} ${ay + 34} ${bx + 4} ${by + h}`,
      x: (ax + bx) / 2 - 30,
      y: ay + 26,
    };
  const high = by < ay;
  // Far ones go around: over the row to what is above, under it to what is below.
  const far = from === "pending" || (from === "ready" && (to === "done" || to === "failed"));
  if (!far)
    return {
      path: `M${ax + w - 6} ${ay + (high ? -9 : 9)}L${bx - w} ${by + (high ? 4 : -4)}`,
      x: (ax + bx) / 2 + 16,
      y: (ay + by) / 2 + (high ? -8 : 16),
    };
  const lift = from === "pending" ? 64 : 40;
  const my = high ? ay - lift : ay + lift;
  return {
    path: `M${ax + 10} ${ay + (high ? -h : h)}C${ax + 40} ${my} ${bx - 150} ${by + (high ? -10 : 10)} ${bx - w} ${by + (high ? -4 : 6)}`,
    x: ax + 70,
    y: my + (high ? 8 : -2),
  };
}
