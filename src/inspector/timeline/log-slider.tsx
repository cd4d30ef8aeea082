/** The slider over the log: takes graph, timeline and environment to any moment, and back to now. */
import { useEffect, useState } from "preact/hooks";
import { exactClock, stepLabel, zone } from "../model/format.ts";
import { setQuery } from "../model/router.ts";
import type { RunStore } from "../model/run-store.ts";
import { showTimeline, timelineShown } from "./timeline-shown.ts";

/** Playing goes through the whole log in about this long. */
const PLAY_MS = 12_000;
const FRAME_MS = 40;
/** The address follows once the slider rests. */
const ADDRESS_MS = 250;

export function LogSlider({ store }: { store: RunStore }) {
  const [playing, setPlaying] = useState(false);
  store.frame.value;
  const { history } = store;
  const cursor = store.cursor.value;
  const last = Math.max(0, history.moments.length - 1);
  const at = cursor === undefined ? last : history.momentOf(cursor);
  const toMoment = (moment: number): void => {
    const seq = history.moments[Math.max(0, Math.min(last, moment))];
    store.seek(moment >= last ? undefined : seq);
  };

  useEffect(() => {
    if (!playing) return;
    const step = Math.max(1, Math.round((last * FRAME_MS) / PLAY_MS));
    const pause = Math.max(FRAME_MS, Math.min(500, PLAY_MS / Math.max(1, last)));
    const timer = setInterval(() => {
      const now = store.cursor.peek();
      if (now === undefined) return setPlaying(false);
      toMoment(history.momentOf(now) + step);
    }, pause);
    return () => clearInterval(timer);
  }, [playing, last]);

  useEffect(() => {
    const timer = setTimeout(() => {
      const shown = new URLSearchParams(location.search).get("at") ?? undefined;
      const wanted = cursor === undefined ? undefined : String(cursor);
      if (shown !== wanted) setQuery({ at: wanted });
    }, ADDRESS_MS);
    return () => clearTimeout(timer);
  }, [cursor]);

  const play = (): void => {
    if (!playing && cursor === undefined) toMoment(0);
    setPlaying(!playing);
  };
  const seq = cursor ?? history.lastSeq;
  const said = momentText(store, seq);
  return (
    <div class="log-slider">
      <button
        type="button"
        class="tool"
        onClick={play}
        aria-label={playing ? "Stop playing" : "Play the log"}
      >
        <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
          <path d={playing ? "M4 3h3v10H4zM9 3h3v10H9z" : "M4.5 2.5l8 5.5l-8 5.5z"} fill="currentColor" />
        </svg>
      </button>
      <button
        type="button"
        class="tool"
        onClick={() => toMoment(at - 1)}
        disabled={at === 0}
        aria-label="One record back"
      >
        ‹
      </button>
      <button
        type="button"
        class="tool"
        onClick={() => toMoment(at + 1)}
        disabled={cursor === undefined}
        aria-label="One record on"
      >
        ›
      </button>
      <input
        type="range"
        min={0}
        max={last}
        value={at}
        step={1}
        aria-label="Moment of the log"
        aria-valuetext={said}
        onInput={(event) => {
          setPlaying(false);
          toMoment(Number(event.currentTarget.value));
        }}
      />
      <button
        type="button"
        class={`live-button${cursor === undefined ? " on" : ""}`}
        aria-pressed={cursor === undefined}
        onClick={() => {
          setPlaying(false);
          store.seek(undefined);
        }}
      >
        {store.head.value?.endedAt ? "End" : "Live"}
      </button>
      <p class="moment" title={said}>
        {said}
      </p>
      <button
        type="button"
        class="tool fold-timeline"
        aria-expanded={timelineShown.value}
        aria-label="Timeline"
        title={timelineShown.value ? "Hide the timeline" : "Show the timeline"}
        onClick={() => showTimeline(!timelineShown.value)}
      >
        <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
          <path
            d={timelineShown.value ? "M3 6l5 5l5-5" : "M3 10l5-5l5 5"}
            fill="none"
            stroke="currentColor"
            stroke-width="1.6"
          />
        </svg>
      </button>
    </div>
  );
}

function momentText({ history }: RunStore, seq: number): string {
  const transition = history.transitions[history.applied - 1];
  if (transition === undefined) return "before the first record";
  const what = transition.kind === "run" ? "the run" : stepLabel(transition.actor);
  const at = history.timeAt(seq);
  return `${exactClock(at)} ${zone(at)} · #${seq} · ${what}: ${transition.from} → ${transition.to}, ${transition.cause}`;
}
