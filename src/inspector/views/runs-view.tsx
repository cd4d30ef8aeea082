/** The runs: found by words and status in the address, kept up while they go on. */
import { useEffect, useState } from "preact/hooks";
import type { RunLine, RunPage } from "../../http/api.ts";
import { type ApiError, ask } from "../model/api-client.ts";
import { count, duration, moment, plural, zone } from "../model/format.ts";
import { place, setQuery } from "../model/router.ts";
import { asApiError } from "../model/run-store.ts";
import { followSwarm, swarmConnected, swarmRuns } from "../model/swarm-store.ts";
import { LookSign, lookOfStatus, Shares, StatusPill } from "../parts/look.tsx";
import { ProblemNote } from "../parts/problem-note.tsx";

const STATUSES = ["running", "waiting", "paused", "planning", "failed", "cancelled", "done"] as const;
const TICK_MS = 1_000;
const SEARCH_MS = 200;

export function RunsView() {
  const { query } = place.value;
  const search = query.get("q") ?? "";
  const status = query.get("status") ?? "";
  const [page, setPage] = useState<RunPage | undefined>(undefined);
  const [more, setMore] = useState<RunLine[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const [problem, setProblem] = useState<ApiError | undefined>(undefined);
  const [, setTick] = useState(0);
  useEffect(() => followSwarm(), []);
  useEffect(() => {
    const timer = setInterval(() => setTick(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  const filter = new URLSearchParams({ ...(search && { q: search }), ...(status && { status }) }).toString();
  // What is new or changed in the swarm is shown by asking for the page again: the filter is the daemon's.
  const changes = swarmRuns.value;
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(
      async () => {
        try {
          const answer = await ask<RunPage>(`/api/runs?limit=100&${filter}`, abort.signal);
          setPage(answer);
          setMore([]);
          setNext(answer.next);
          setProblem(undefined);
        } catch (error) {
          if (!abort.signal.aborted) setProblem(asApiError(error));
        }
      },
      page === undefined ? 0 : 60,
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [filter, changes]);
  const loadMore = async (): Promise<void> => {
    try {
      const answer = await ask<RunPage>(
        `/api/runs?limit=200&cursor=${encodeURIComponent(next ?? "")}&${filter}`,
      );
      setMore([...more, ...answer.runs]);
      setNext(answer.next);
    } catch (error) {
      setProblem(asApiError(error));
    }
  };
  const runs = [...(page?.runs ?? []), ...more];
  return (
    <main class="page" id="main">
      <div class="page-head">
        <h1>Runs</h1>
        {page && (
          <p class="soft" aria-live="polite">
            {plural(page.total, "run")}
          </p>
        )}
        {swarmConnected.value === false && <p class="bad-text">reconnecting …</p>}
      </div>
      <div class="filters">
        <SearchField label="Search runs" value={search} onSearch={(q) => setQuery({ q })} />
        <fieldset class="chips">
          <legend class="unseen">Status</legend>
          {STATUSES.map((name) => {
            const chosen = status.split(",").includes(name);
            return (
              <button
                key={name}
                type="button"
                class={`chip${chosen ? " on" : ""}`}
                aria-pressed={chosen}
                onClick={() => setQuery({ status: toggled(status, name) })}
              >
                <LookSign look={lookOfStatus(name)} quiet />
                {name} <b>{page ? count(page.counts[name] ?? 0) : ""}</b>
              </button>
            );
          })}
        </fieldset>
      </div>
      {problem && <ProblemNote error={problem} />}
      {page !== undefined && runs.length === 0 && !problem && <NoRuns filtered={filter !== ""} />}
      {runs.length > 0 && (
        <div class="card table-scroll">
          <table class="runs">
            <thead>
              <tr>
                <th scope="col">Run</th>
                <th scope="col">Status</th>
                <th scope="col">Progress</th>
                <th scope="col">Started, {zone(Date.now())}</th>
                <th scope="col" class="right">
                  Took
                </th>
              </tr>
            </thead>
            <tbody>
              {runs.map((run) => (
                <RunRow key={run.run} run={run} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {next !== null && (
        <button type="button" class="button" onClick={() => void loadMore()}>
          Older runs
        </button>
      )}
    </main>
  );
}

function RunRow({ run }: { run: RunLine }) {
  const { total, done, failed, running } = run.steps;
  const started = Date.parse(run.startedAt);
  const took = (run.endedAt === null ? Date.now() : Date.parse(run.endedAt)) - started;
  const label = `${done} of ${total} steps done${failed > 0 ? `, ${failed} failed` : ""}${running > 0 ? `, ${running} running` : ""}`;
  return (
    <tr>
      <td>
        <a class="run-link" href={`/runs/${encodeURIComponent(run.run)}`}>
          {run.run}
        </a>
        <span class="soft block">{run.name === run.run ? "" : run.name}</span>
      </td>
      <td>
        <StatusPill status={run.status} />
      </td>
      <td class="progress-cell">
        <Shares
          label={label}
          total={total}
          parts={[
            { look: "done", amount: done },
            { look: "failed", amount: failed },
            { look: "running", amount: running },
            { look: "pending", amount: Math.max(0, total - done - failed - running) },
          ]}
        />
        <span class="soft block number">
          {count(done)} / {count(total)}
          {failed > 0 && <span class="bad-text"> · {failed} failed</span>}
        </span>
      </td>
      <td class="number nowrap">{moment(started, Date.now())}</td>
      <td class="number nowrap right">{duration(Math.max(0, took))}</td>
    </tr>
  );
}

function NoRuns({ filtered }: { filtered: boolean }) {
  if (filtered) {
    return (
      <div class="empty">
        <p>No run matches.</p>
        <button type="button" class="button" onClick={() => setQuery({ q: undefined, status: undefined })}>
          Show all
        </button>
      </div>
    );
  }
  return (
    <div class="empty">
      <h2>No runs yet</h2>
      <p>Start one, and it appears here by itself:</p>
      <pre class="mono">datahammer run workflow.yaml --agents agents.ts</pre>
    </div>
  );
}

export function SearchField({
  label,
  value,
  onSearch,
}: {
  label: string;
  value: string;
  onSearch: (text: string) => void;
}) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => onSearch(text), SEARCH_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <input
      type="search"
      class="search"
      aria-label={label}
      placeholder={`${label} …`}
      value={text}
      onInput={(event) => setText(event.currentTarget.value)}
      spellcheck={false}
    />
  );
}

function toggled(list: string, name: string): string {
  const names = list.split(",").filter((each) => each !== "");
  return (names.includes(name) ? names.filter((each) => each !== name) : [...names, name]).join(",");
}
