/** The run's environment at the moment that is looked at: every key with writer and revision, and its history. */
import { useEffect, useState } from "preact/hooks";
import type { EnvironmentAnswer, EnvironmentHistory } from "../../http/api.ts";
import { type ApiError, ask, pathOf } from "../model/api-client.ts";
import { exactClock, plural, stepLabel } from "../model/format.ts";
import { place, runAddress, setQuery } from "../model/router.ts";
import { asApiError, type RunStore } from "../model/run-store.ts";
import { JsonView } from "../parts/json-view.tsx";
import { ProblemNote } from "../parts/problem-note.tsx";

const AGAIN_MS = 150;

export function EnvironmentView({ store }: { store: RunStore }) {
  const [environment, setEnvironment] = useState<EnvironmentAnswer | undefined>(undefined);
  const [problem, setProblem] = useState<ApiError | undefined>(undefined);
  const cursor = store.cursor.value;
  store.frame.value;
  const changes = cursor === undefined ? store.history.changes.length : 0;
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(
      async () => {
        const query = cursor === undefined ? "" : `?at=${cursor}`;
        try {
          setEnvironment(
            await ask<EnvironmentAnswer>(`${pathOf("runs", store.run, "environment")}${query}`, abort.signal),
          );
          setProblem(undefined);
        } catch (error) {
          if (!abort.signal.aborted) setProblem(asApiError(error));
        }
      },
      environment === undefined ? 0 : AGAIN_MS,
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [cursor, changes, store.run]);
  const key = place.value.query.get("key") ?? undefined;
  if (problem) return <ProblemNote error={problem} />;
  if (environment === undefined) return <p class="soft pad">Reading the environment …</p>;
  if (environment.entries.length === 0)
    return <p class="empty">Nothing has been written yet at this moment.</p>;
  return (
    <div class="environment">
      <p class="soft">
        {plural(environment.entries.length, "key")} at revision {environment.revision}
      </p>
      {environment.entries.map((entry) => (
        <article key={entry.key} class="env-entry" id={`key-${entry.key}`}>
          <header>
            <h3 class="mono">{entry.key}</h3>
            <p class="soft">
              revision{" "}
              <button
                type="button"
                class="link"
                onClick={() => store.seek(entry.revision)}
                title="Take the page to this moment"
              >
                {entry.revision}
              </button>{" "}
              · {exactClock(Date.parse(entry.ts))} · by <Writer store={store} writer={entry.writer} /> ·{" "}
              <button
                type="button"
                class="link"
                aria-expanded={key === entry.key}
                onClick={() => setQuery({ key: key === entry.key ? undefined : entry.key })}
              >
                history
              </button>
            </p>
          </header>
          <JsonView value={environment.values[entry.key]} />
          {key === entry.key && <KeyHistory store={store} name={entry.key} />}
        </article>
      ))}
    </div>
  );
}

function KeyHistory({ store, name }: { store: RunStore; name: string }) {
  const [history, setHistory] = useState<EnvironmentHistory | undefined>(undefined);
  const changes = store.history.changes.length;
  useEffect(() => {
    const abort = new AbortController();
    ask<EnvironmentHistory>(
      `${pathOf("runs", store.run, "environment", "history")}?key=${encodeURIComponent(name)}`,
      abort.signal,
    ).then(
      setHistory,
      () => undefined, // The view above tells when the daemon is away.
    );
    return () => abort.abort();
  }, [store.run, name, changes]);
  if (history === undefined) return <p class="soft">Reading …</p>;
  return (
    <ol class="history">
      {history.changes.toReversed().map((change) => (
        <li key={change.revision}>
          <p class="soft">
            <button type="button" class="link" onClick={() => store.seek(change.revision)}>
              #{change.revision}
            </button>{" "}
            · {exactClock(Date.parse(change.ts))} · <Writer store={store} writer={change.writer} />
          </p>
          <JsonView value={change.value} depth={1} />
        </li>
      ))}
    </ol>
  );
}

function Writer({
  store,
  writer,
}: {
  store: RunStore;
  writer: { step?: string | undefined; agent?: string | undefined };
}) {
  if (writer.step === undefined) return <>{writer.agent ?? "the submission"}</>;
  return (
    <>
      <a href={runAddress(store.run, "steps", writer.step)}>{stepLabel(writer.step)}</a>
      {writer.agent !== undefined && ` (${writer.agent})`}
    </>
  );
}
