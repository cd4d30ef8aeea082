/** Everything that happened, in the log's order, up to the moment that is looked at. */
import { useMemo } from "preact/hooks";
import { exactClock, stepLabel, wordsOf, zone } from "../model/format.ts";
import { runAddress } from "../model/router.ts";
import type { RunStore } from "../model/run-store.ts";
import { lookAfter } from "../model/step-look.ts";
import { LookSign, lookOfStatus } from "../parts/look.tsx";
import { VirtualRows } from "../parts/virtual-rows.tsx";

const ROW = 34;
const COLUMNS = [
  ["c-time", `Time, ${zone(Date.now())}`],
  ["c-step", "Who"],
  ["c-state", "Moved"],
  ["c-cause", "Because"],
] as const;

export function LogView({ store, search }: { store: RunStore; search: string }) {
  const frame = store.frame.value;
  const { history } = store;
  const rows = useMemo(() => {
    const words = wordsOf(search);
    const found: number[] = [];
    // The newest first: what just happened is what most come for.
    for (let at = history.applied - 1; at >= 0; at--) {
      const transition = history.transitions[at];
      if (transition === undefined) continue;
      if (words.length > 0) {
        const text =
          `${exactClock(history.times[at] ?? 0)} ${stepLabel(transition.actor)} ${transition.cause} ${transition.agent ?? ""} ${transition.to}`.toLowerCase();
        if (!words.every((word) => text.includes(word))) continue;
      }
      found.push(at);
    }
    return found;
  }, [frame, search, history]);
  return (
    <div class="table-view">
      <VirtualRows
        count={rows.length}
        rowHeight={ROW}
        label="Transitions, the newest first"
        columns={COLUMNS}
        row={(at) => {
          const index = rows[at] ?? 0;
          const transition = history.transitions[index];
          if (transition === undefined) return null;
          const isRun = transition.kind === "run";
          return (
            <>
              <span role="cell" class="c-time mono">
                <button
                  type="button"
                  class="link"
                  onClick={() => store.seek(transition.seq)}
                  title={`Take the page to #${transition.seq}`}
                >
                  {exactClock(history.times[index] ?? 0)}
                </button>
              </span>
              <span role="cell" class="c-step">
                {isRun ? (
                  <b>the run</b>
                ) : (
                  <a href={runAddress(store.run, "steps", transition.actor)}>{stepLabel(transition.actor)}</a>
                )}
              </span>
              <span role="cell" class="c-state">
                <LookSign look={isRun ? lookOfStatus(transition.to) : lookAfter(transition)} quiet />{" "}
                <span>
                  <span class="from">{transition.from} → </span>
                  {transition.to}
                </span>
              </span>
              <span role="cell" class="c-cause soft" title={transition.cause}>
                {transition.cause}
              </span>
            </>
          );
        }}
      />
    </div>
  );
}
