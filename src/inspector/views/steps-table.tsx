/** The steps as a list: what the graph shows, for who reads instead of looks, and for sorting and finding. */
import { useMemo } from "preact/hooks";
import { lookWithWait } from "../graph/painter.ts";
import { clock, count, duration, stepLabel, wordsOf, zone } from "../model/format.ts";
import { place, runAddress, setQuery } from "../model/router.ts";
import type { RunStore } from "../model/run-store.ts";
import { LOOK_ORDER, LOOK_WORDS, LOOKS, type Look, lookOf } from "../model/step-look.ts";
import { LookSign } from "../parts/look.tsx";
import { VirtualRows } from "../parts/virtual-rows.tsx";

const ROW = 36;
const COLUMNS = [
  ["c-step", "Step"],
  ["c-state", "State"],
  ["c-task", "Task"],
  ["c-agent", "Agent"],
  ["c-time", `Since, ${zone(Date.now())}`],
] as const;
const RANK = new Map(LOOK_ORDER.map((look, rank) => [look, rank]));

export function StepsTable({ store, search }: { store: RunStore; search: string }) {
  const frame = store.frame.value;
  const wanted = LOOKS.find((look) => look === place.value.query.get("look"));
  const order = place.value.query.get("order") ?? "document";
  const { history } = store;
  const rows = useMemo(() => {
    const words = wordsOf(search);
    const found: number[] = [];
    for (const [index, id] of history.ids.entries()) {
      if (wanted !== undefined && lookOf(history.looks[index] ?? 0) !== wanted) continue;
      const step = store.step(id);
      const text = `${stepLabel(id)} ${step?.role ?? ""} ${step?.task ?? ""}`.toLowerCase();
      if (words.every((word) => text.includes(word))) found.push(index);
    }
    if (order === "document" && store.retired.length > 0) {
      // What a revision of the plan left out is not in the document any more.
      const left = new Set(store.retired);
      found.sort((a, b) => Number(left.has(a)) - Number(left.has(b)));
    }
    if (order === "state") found.sort((a, b) => rankOf(history.looks[a]) - rankOf(history.looks[b]));
    if (order === "changed") found.sort((a, b) => (history.last[b] ?? -1) - (history.last[a] ?? -1));
    return found;
  }, [frame, search, wanted, order, history]);

  return (
    <div class="table-view">
      <div class="filters" role="group" aria-label="Which steps">
        {LOOK_ORDER.map((look) => {
          const amount = history.counts[LOOKS.indexOf(look)] ?? 0;
          if (amount === 0 && wanted !== look) return null;
          return (
            <button
              key={look}
              type="button"
              class={`chip${wanted === look ? " on" : ""}`}
              aria-pressed={wanted === look}
              onClick={() => setQuery({ look: wanted === look ? undefined : look })}
            >
              <LookSign look={look} quiet />
              {LOOK_WORDS[look]} <b>{count(amount)}</b>
            </button>
          );
        })}
        <label class="inline">
          Order
          <select
            value={order}
            onChange={(event) =>
              setQuery({
                order: event.currentTarget.value === "document" ? undefined : event.currentTarget.value,
              })
            }
          >
            <option value="document">as written</option>
            <option value="state">by state</option>
            <option value="changed">last changed</option>
          </select>
        </label>
      </div>
      <VirtualRows
        count={rows.length}
        rowHeight={ROW}
        label="Steps"
        columns={COLUMNS}
        row={(at) => <StepRow store={store} index={rows[at] ?? 0} />}
      />
    </div>
  );
}

function StepRow({ store, index }: { store: RunStore; index: number }) {
  const id = store.history.ids[index] ?? "";
  const step = store.step(id);
  const at = store.history.stepAt(index);
  const look: Look = lookWithWait(store, id, at.look);
  return (
    <>
      <span role="cell" class="c-step">
        <a href={runAddress(store.run, "steps", id)}>{stepLabel(id)}</a>
      </span>
      <span role="cell" class={`c-state look-${look}`}>
        <LookSign look={look} quiet /> {LOOK_WORDS[look]}
        {at.attempt > 1 && <span class="soft"> · attempt {at.attempt}</span>}
      </span>
      <span role="cell" class="c-task">
        {step === undefined ? (
          "left out of the plan"
        ) : (
          <span class="mono">
            {step.role}.{step.task}
          </span>
        )}
      </span>
      <span role="cell" class="c-agent">
        {at.agent ?? "—"}
      </span>
      <span role="cell" class="c-time">
        {at.since === 0 ? "—" : clock(at.since)}
        {at.look === "running" && store.cursor.peek() === undefined && (
          <span class="soft"> · {duration(Date.now() - at.since)}</span>
        )}
      </span>
    </>
  );
}

const rankOf = (code: number | undefined): number => RANK.get(lookOf(code ?? 0)) ?? 0;
