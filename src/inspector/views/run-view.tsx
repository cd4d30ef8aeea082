/**
 * One run: its head, the tabs, the step beside them, and under all of it the timeline with the slider.
 *
 * Which tab, which step and which moment are in the address.
 */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { RunHead } from "../../http/api.ts";
import { GraphView } from "../graph/graph-view.tsx";
import { clock, count, duration, moment, money, plural, stepLabel } from "../model/format.ts";
import { place, runAddress, setQuery } from "../model/router.ts";
import { RunStore } from "../model/run-store.ts";
import { LOOK_ORDER, LOOK_WORDS, LOOKS } from "../model/step-look.ts";
import { announce } from "../parts/announcer.tsx";
import { Shares, StatusPill } from "../parts/look.tsx";
import { ProblemNote } from "../parts/problem-note.tsx";
import { LogSlider } from "../timeline/log-slider.tsx";
import { timelineShown } from "../timeline/timeline-shown.ts";
import { TimelineView } from "../timeline/timeline-view.tsx";
import { EnvironmentView } from "./environment-view.tsx";
import { LogView } from "./log-view.tsx";
import { PlanView } from "./plan-view.tsx";
import { RunActions, WaitAnswers } from "./run-actions.tsx";
import { SearchField } from "./runs-view.tsx";
import { StepPanel } from "./step-panel.tsx";
import { StepsTable } from "./steps-table.tsx";
import { TimeView } from "./time-view.tsx";

const TABS = [
  ["graph", "Graph"],
  ["list", "Steps"],
  ["environment", "Environment"],
  ["plan", "Plan"],
  ["time", "Time"],
  ["log", "Log"],
] as const;
const TICK_MS = 500;

export function RunView({ run }: { run: string }) {
  const store = useMemo(() => new RunStore(run), [run]);
  useEffect(() => {
    const at = Number(new URLSearchParams(location.search).get("at") ?? Number.NaN);
    if (Number.isSafeInteger(at)) store.cursor.value = at;
    void store.load();
    return () => store.close();
  }, [store]);
  const { parts, query } = place.value;
  const third = parts[2] ?? "graph";
  const selected = third === "steps" ? parts[3] : undefined;
  const lastStatus = useRef<string | undefined>(undefined);
  const [lastTab, setLastTab] = useState("graph");
  const tab = selected === undefined ? third : lastTab;
  useEffect(() => {
    if (selected === undefined) setLastTab(third);
    showTab();
  }, [third, selected]);
  const search = query.get("find") ?? "";
  const head = store.head.value;
  const problem = store.problem.value;
  useEffect(() => {
    // Only what changes while one is here: the first status is read with the page.
    if (head !== undefined && lastStatus.current !== undefined) announce(`Run ${run} is ${head.status}`);
    lastStatus.current = head?.status;
  }, [head?.status]);
  const connected = store.connected.value;
  const wasConnected = useRef<boolean | undefined>(undefined);
  useEffect(() => {
    if (wasConnected.current && connected === false) announce("The daemon does not answer: reconnecting");
    if (wasConnected.current === false && connected) announce("Connected again, all is up to date");
    wasConnected.current = connected;
  }, [connected]);
  useClock(head !== undefined && head.endedAt === null);

  if (problem) {
    return (
      <main class="page" id="main">
        <h1>{run}</h1>
        <ProblemNote
          error={problem}
          again={() => {
            store.problem.value = undefined;
            void store.load();
          }}
        />
      </main>
    );
  }
  return (
    <main class="run" id="main" data-live={store.connected.value === true}>
      <RunHeadLine store={store} run={run} head={head} />
      <nav class="tabs" aria-label="Views of the run">
        {TABS.map(([name, label]) => (
          <a
            key={name}
            href={name === "graph" ? runAddress(run) : runAddress(run, name)}
            aria-current={tab === name ? "page" : undefined}
          >
            {label}
          </a>
        ))}
        {(tab === "graph" || tab === "list" || tab === "log") && (
          <SearchField
            label={tab === "log" ? "Find steps or a time" : "Find steps"}
            value={search}
            onSearch={(find) => setQuery({ find })}
          />
        )}
      </nav>
      <div class={`run-body${selected === undefined ? "" : " with-panel"}`}>
        <div class={`run-main tab-${tab}`}>
          {tab === "graph" && <GraphView store={store} selected={selected} search={search} />}
          {tab === "list" && <StepsTable store={store} search={search} />}
          {tab === "environment" && <EnvironmentView store={store} />}
          {tab === "plan" && <PlanView store={store} />}
          {tab === "time" && <TimeView store={store} />}
          {tab === "log" && <LogView store={store} search={search} />}
        </div>
        {selected !== undefined && <StepPanel key={selected} store={store} id={selected} />}
        <footer class="dock">
          <LogSlider store={store} />
          {timelineShown.value && <TimelineView store={store} selected={selected} />}
        </footer>
      </div>
    </main>
  );
}

function RunHeadLine({ store, run, head }: { store: RunStore; run: string; head: RunHead | undefined }) {
  store.frame.value;
  const { history } = store;
  const cursor = store.cursor.value;
  // To the machine, who waits for a person is ready.
  const asked = Math.min(store.waits.length, history.counts[LOOKS.indexOf("ready")] ?? 0);
  const counts = [...history.counts];
  for (const place of store.retired) {
    const look = history.looks[place] ?? 0;
    counts[look] = (counts[look] ?? 0) - 1;
  }
  const parts = LOOK_ORDER.toReversed().map((look) => ({
    look,
    amount: (counts[LOOKS.indexOf(look)] ?? 0) + (look === "waiting" ? asked : look === "ready" ? -asked : 0),
  }));
  const total = history.ids.length - store.retired.length;
  const words = parts
    .filter(({ amount }) => amount > 0)
    .map(({ look, amount }) => `${count(amount)} ${LOOK_WORDS[look]}`);
  const spent = cursor === undefined ? head?.spent : store.pastHead?.spent;
  const started = head === undefined ? 0 : Date.parse(head.startedAt);
  const until =
    cursor !== undefined ? history.timeAt(cursor) : head?.endedAt ? Date.parse(head.endedAt) : Date.now();
  const closed = parts.reduce(
    (sum, { look, amount }) => sum + (look === "done" || look === "skipped" || look === "kept" ? amount : 0),
    0,
  );
  return (
    <header class="run-head">
      <div class="run-title">
        <p class="soft crumbs">
          <a href="/runs">Runs</a> / {head?.name ?? "…"}
        </p>
        <h1>{run}</h1>
      </div>
      <div class="run-facts">
        {head && <StatusPill status={cursor === undefined ? head.status : history.status} />}
        {head && (
          <span
            class="number"
            title={`started ${moment(started, Date.now())}${head.endedAt ? `, ended ${clock(Date.parse(head.endedAt))}` : ""}`}
          >
            {duration(Math.max(0, until - started))}
          </span>
        )}
        {spent !== undefined && spent.tokens + spent.usd > 0 && (
          <span class="number soft">
            {[
              ...(spent.tokens > 0 ? [plural(spent.tokens, "token")] : []),
              ...(spent.usd > 0 ? [money(spent.usd)] : []),
            ].join(", ")}
          </span>
        )}
        {cursor !== undefined && <span class="pill past">as it was</span>}
        {head && store.connected.value === false && head.endedAt === null && (
          <span class="bad-text" title="The daemon does not answer. The page goes on by itself when it does.">
            reconnecting …
          </span>
        )}
      </div>
      <div class="run-progress">
        <Shares parts={parts} total={total} label={words.join(", ") || "no steps yet"} />
        <span class="soft number">
          {count(closed)} / {count(total)}
        </span>
      </div>
      {head && cursor === undefined && <RunActions head={head} />}
      {head?.error !== undefined && cursor === undefined && (
        <p class="note bad run-note" role="alert">
          <strong>{head.error.message}</strong>{" "}
          {head.error.step !== undefined && (
            <a href={runAddress(run, "steps", head.error.step)}>step {stepLabel(head.error.step)}</a>
          )}{" "}
          <span class="soft mono">{head.error.code}</span>
        </p>
      )}
      {head?.pause !== undefined && cursor === undefined && (
        <p class="note wait run-note">{head.pause.message}</p>
      )}
      {store.waits.map((wait) => (
        <div key={`${wait.step} ${wait.n}`} class="note wait run-note wait-line">
          <span>
            <a href={runAddress(run, "steps", wait.step)}>
              <b>{stepLabel(wait.step)}</b>
            </a>{" "}
            {cursor === undefined ? "waits for" : "waited for"}{" "}
            {wait.for === "approval"
              ? "approval"
              : wait.for === "failure"
                ? "a decision: it failed"
                : wait.for === "human"
                  ? `an answer: ${wait.task}`
                  : `the signal ${wait.task}`}
          </span>
          {cursor === undefined && (
            <span class="actions">
              <WaitAnswers run={run} step={wait.step} wait={wait} />
            </span>
          )}
        </div>
      ))}
      {head?.parent !== undefined && (
        <p class="soft run-note">
          does the step{" "}
          <a
            href={`/runs/${encodeURIComponent(head.parent.run)}/steps/${encodeURIComponent(head.parent.step)}`}
          >
            {stepLabel(head.parent.step)}
          </a>{" "}
          of {head.parent.run}
        </p>
      )}
      {head?.origin !== undefined && (
        <p class="soft run-note">
          {head.origin.kept.length > 0
            ? `takes over ${plural(head.origin.kept.length, "result")} of `
            : "runs again "}
          <a href={`/runs/${encodeURIComponent(head.origin.run)}`}>{head.origin.run}</a>
          {head.origin.from !== undefined && `, from ${head.origin.from}`}
        </p>
      )}
    </header>
  );
}

/**
 * On a narrow screen the tabs are wider than it. `scrollIntoView` would do, but the Tab key goes on from where it
 * went, past everything above.
 */
function showTab(): void {
  const tab = document.querySelector(".tabs [aria-current]");
  const bar = tab?.parentElement;
  if (!tab || !bar) return;
  const own = tab.getBoundingClientRect();
  const seen = bar.getBoundingClientRect();
  if (own.right > seen.right) bar.scrollLeft += own.right - seen.right;
  if (own.left < seen.left) bar.scrollLeft -= seen.left - own.left;
}

/** Draws again twice a second while something goes on, for durations that grow. */
function useClock(going: boolean): void {
  const [, setTick] = useState(0);
  useEffect(() => {
    if (!going) return;
    const timer = setInterval(() => setTick(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, [going]);
}
