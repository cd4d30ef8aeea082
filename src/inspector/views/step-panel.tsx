/** One step beside the graph: where it stands, the way it went, each dispatch with its values. */
import { useEffect, useState } from "preact/hooks";
import type { DispatchView, StepDetail } from "../../http/api.ts";
import { type ApiError, ask, pathOf } from "../model/api-client.ts";
import { count, duration, exactClock, plural, stepLabel } from "../model/format.ts";
import { runAddress } from "../model/router.ts";
import { asApiError, type RunStore } from "../model/run-store.ts";
import { LOOK_WORDS, lookOfState } from "../model/step-look.ts";
import { JsonView } from "../parts/json-view.tsx";
import { LookSign } from "../parts/look.tsx";
import { ProblemNote } from "../parts/problem-note.tsx";
import { StepActions, WaitAnswers } from "./run-actions.tsx";
import { Statechart } from "./statechart.tsx";
import { StepReasons } from "./step-reasons.tsx";

/** While the slider moves or the run goes on, the step is read again this often at most. */
const AGAIN_MS = 180;

export function StepPanel({ store, id }: { store: RunStore; id: string }) {
  const [detail, setDetail] = useState<StepDetail | undefined>(undefined);
  const [problem, setProblem] = useState<ApiError | undefined>(undefined);
  const cursor = store.cursor.value;
  store.frame.value;
  const index = store.history.has(id) ? store.history.indexOf(id) : -1;
  const last = index < 0 ? -1 : store.history.last[index];
  useEffect(() => {
    const abort = new AbortController();
    const query = cursor === undefined ? "" : `?at=${cursor}`;
    const timer = setTimeout(
      async () => {
        try {
          setDetail(await ask<StepDetail>(`${pathOf("runs", store.run, "steps", id)}${query}`, abort.signal));
          setProblem(undefined);
        } catch (error) {
          if (!abort.signal.aborted) setProblem(asApiError(error));
        }
      },
      detail?.id === id ? AGAIN_MS : 0,
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [id, cursor, last, store.head.value?.waits.length]);

  const shown = detail?.id === id ? detail : undefined;
  return (
    <section class="panel" aria-label={`Step ${stepLabel(id)}`}>
      <header class="panel-head">
        {shown && <LookSign look={shown.waiting ? "waiting" : lookOfState(shown.state, shown.outcome)} />}
        <h2>{stepLabel(id)}</h2>
        <a class="tool" href={runAddress(store.run)} aria-label="Close the step">
          ✕
        </a>
      </header>
      <div class="panel-body">
        {problem && <ProblemNote error={problem} />}
        {!shown && !problem && <p class="soft">Reading the step …</p>}
        {shown && <StepFacts store={store} detail={shown} />}
      </div>
    </section>
  );
}

function StepFacts({ store, detail }: { store: RunStore; detail: StepDetail }) {
  const head = store.head.value;
  const live = store.cursor.value === undefined ? store.live.get(detail.id) : undefined;
  const look = detail.waiting ? "waiting" : lookOfState(detail.state, detail.outcome);
  const latest = detail.dispatches.at(-1);
  return (
    <>
      <p class="facts">
        <span class={`strong-text look-${look}`}>{LOOK_WORDS[look]}</span> ·{" "}
        <span class="mono">
          {detail.role}.{detail.task}
        </span>
        {detail.agent !== null && <> · {detail.agent}</>}
        {detail.attempt > 1 && (
          <>
            {" "}
            · attempt {detail.attempt} of {detail.maxAttempts}
          </>
        )}
        {detail.iteration > 1 && <> · iteration {detail.iteration}</>}
      </p>
      {detail.definition.description !== undefined && <p class="soft">{detail.definition.description}</p>}
      {detail.waiting && (
        <div class="note wait">
          <strong>
            Waits for{" "}
            {detail.waiting.for === "approval"
              ? "approval"
              : detail.waiting.for === "failure"
                ? "a decision: it failed"
                : detail.waiting.for === "human"
                  ? "an answer"
                  : `the signal ${detail.waiting.task}`}
          </strong>
          {detail.waiting.for === "human" && <p>{detail.waiting.task}</p>}
          {detail.waiting.error !== undefined && <p>{detail.waiting.error}</p>}
          {detail.waiting.deadline !== undefined && (
            <p class="soft">
              until {exactClock(Date.parse(detail.waiting.deadline))}
              {detail.waiting.default ? `, then ${detail.waiting.default}` : ""}
            </p>
          )}
          {store.cursor.value === undefined && (
            <div class="actions">
              <WaitAnswers run={store.run} step={detail.id} wait={detail.waiting} />
            </div>
          )}
        </div>
      )}
      {live !== undefined && live.n === detail.n && detail.state === "running" && <LiveOutput live={live} />}
      <Statechart transitions={detail.transitions} state={detail.state} outcome={detail.outcome} />
      {head !== undefined && store.cursor.value === undefined && (
        <StepActions head={head} step={detail.id} state={detail.state} />
      )}
      <Fold title="Why" open>
        <StepReasons key={detail.id} store={store} id={detail.id} version={`${detail.seq}`} />
      </Fold>
      <Neighbours store={store} title="After" ids={detail.definition.dependsOn} />
      <Neighbours store={store} title="Before" ids={detail.dependents} />
      {detail.items.length > 0 && (
        <Neighbours store={store} title="Made from it" ids={detail.items.map((item) => item.id)} />
      )}
      <Rules detail={detail} />
      {latest?.inputs !== undefined && latest.inputs !== null && (
        <Fold title="Inputs" open>
          <JsonView value={latest.inputs} />
        </Fold>
      )}
      {detail.outputs !== null && (
        <Fold title="Outputs" open>
          <JsonView value={detail.outputs} />
        </Fold>
      )}
      {detail.dispatches.length > 0 && (
        <Fold
          title={plural(detail.dispatches.length, "dispatch", "dispatches")}
          open={detail.dispatches.length > 1 || detail.outcome === "failed"}
        >
          <ol class="dispatches">
            {detail.dispatches.map((dispatch) => (
              <Dispatch key={dispatch.n} dispatch={dispatch} />
            ))}
          </ol>
        </Fold>
      )}
      <Fold title={plural(detail.transitions.length, "transition")} open={detail.transitions.length < 12}>
        <ol class="way">
          {detail.transitions.map((transition) => (
            <li key={`${transition.seq} ${transition.to}`}>
              <button
                type="button"
                class="link mono"
                onClick={() => store.seek(transition.seq)}
                title="Take the page to this moment"
              >
                {exactClock(Date.parse(transition.ts))}
              </button>
              <span>
                <b>{transition.from}</b> → <b>{transition.to}</b> <span class="soft">{transition.cause}</span>
              </span>
            </li>
          ))}
        </ol>
      </Fold>
      {detail.voids.length > 0 && (
        <Fold
          title={plural(detail.voids.length, "record that changed nothing", "records that changed nothing")}
        >
          <ul class="plain">
            {detail.voids.map((record) => (
              <li key={record.seq}>
                <b>{record.verdict}</b>{" "}
                <span class="soft">
                  #{record.seq} {record.reason}
                </span>
              </li>
            ))}
          </ul>
        </Fold>
      )}
    </>
  );
}

function LiveOutput({
  live,
}: {
  live: { fraction: number | undefined; message: string | undefined; chunks: unknown[] };
}) {
  return (
    <div class="live-output" role="group" aria-label="Progress">
      {live.fraction !== undefined && <progress value={live.fraction} max={1} aria-label="Progress" />}
      {live.message !== undefined && <p>{live.message}</p>}
      {live.chunks.length > 0 && (
        <pre class="stream" role="log" aria-label="Partial output">
          {live.chunks
            .map((chunk) => (typeof chunk === "string" ? chunk : `${JSON.stringify(chunk)}\n`))
            .join("")}
        </pre>
      )}
    </div>
  );
}

function Neighbours({ store, title, ids }: { store: RunStore; title: string; ids: readonly string[] }) {
  const [all, setAll] = useState(false);
  if (ids.length === 0) return null;
  const shown = all ? ids : ids.slice(0, 12);
  return (
    <p class="neighbours">
      <span class="soft">{title}</span>
      {shown.map((id) => {
        const known = store.history.has(id);
        return (
          <a key={id} class="chip" href={runAddress(store.run, "steps", id)}>
            {known && <LookSign look={store.history.stepAt(store.history.indexOf(id)).look} />}
            {stepLabel(id)}
          </a>
        );
      })}
      {ids.length > shown.length && (
        <button type="button" class="link" onClick={() => setAll(true)}>
          {count(ids.length - shown.length)} more
        </button>
      )}
    </p>
  );
}

function Rules({ detail }: { detail: StepDetail }) {
  const { definition, timeoutMs, usage } = detail;
  const rules: [string, string][] = [];
  if (definition.when !== undefined) rules.push(["when", definition.when]);
  if (typeof definition.forEach === "string") rules.push(["for each", definition.forEach]);
  if (definition.repeat !== undefined)
    rules.push(["until", `${definition.repeat.until}, at most ${definition.repeat.max} times`]);
  if (definition.join !== undefined)
    rules.push(["join", `${definition.join} of ${definition.dependsOn.length}`]);
  if (definition.onFailure !== undefined) rules.push(["on failure", definition.onFailure]);
  if (timeoutMs !== null) rules.push(["time-out", duration(timeoutMs)]);
  if (definition.outputs.length > 0) rules.push(["writes", definition.outputs.join(", ")]);
  if (usage !== null) rules.push(["spent", spentText(usage)]);
  if (rules.length === 0) return null;
  return (
    <dl class="rules">
      {rules.map(([name, text]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class="mono">{text}</dd>
        </div>
      ))}
    </dl>
  );
}

function spentText({
  tokens = 0,
  usd = 0,
}: {
  tokens?: number | undefined;
  usd?: number | undefined;
}): string {
  const parts = [
    tokens > 0 ? plural(tokens, "token") : "",
    usd > 0 ? `$${usd.toFixed(usd < 1 ? 4 : 2)}` : "",
  ];
  return parts.filter((part) => part !== "").join(", ") || "nothing";
}

function Dispatch({ dispatch }: { dispatch: DispatchView }) {
  const {
    child,
    n,
    attempt,
    role,
    task,
    agent,
    readyAt,
    startedAt,
    endedAt,
    end,
    error,
    handoff,
    outputs,
    inputs,
  } = dispatch;
  const waited = startedAt === null ? undefined : Date.parse(startedAt) - Date.parse(readyAt);
  const ran =
    startedAt === null || endedAt === null ? undefined : Date.parse(endedAt) - Date.parse(startedAt);
  return (
    <li>
      <p>
        <b>{n}.</b> {role}.{task} {attempt > 1 && `· attempt ${attempt} `}· {end ?? "open"}
        {agent !== null && <span class="soft"> · {agent}</span>}
      </p>
      <p class="soft">
        {waited !== undefined && <>queue {duration(waited)} </>}
        {ran !== undefined && <>· run {duration(ran)}</>}
      </p>
      {child !== null && (
        <p>
          done by the run <a href={`/runs/${encodeURIComponent(child)}`}>{child}</a>
        </p>
      )}
      {handoff !== null && (
        <p>
          handed to{" "}
          <b>
            {handoff.role}.{handoff.task}
          </b>
          : {handoff.reason}
        </p>
      )}
      {error !== null && (
        <div class="note bad">
          <strong>{error.message}</strong>
          <p class="soft mono">
            {error.code ?? error.name} · {error.retryable ? "may be tried again" : "not retryable"}
          </p>
          {causesOf(error).map((cause, depth) => (
            <p key={cause} class="soft" style={{ paddingLeft: `${(depth + 1) * 10}px` }}>
              caused by {cause}
            </p>
          ))}
        </div>
      )}
      {(inputs !== null || outputs !== null) && (
        <details>
          <summary>values</summary>
          {inputs !== null && <JsonView name="inputs" value={inputs} depth={1} />}
          {outputs !== null && <JsonView name="outputs" value={outputs} depth={1} />}
        </details>
      )}
    </li>
  );
}

/** Messages of the chain of causes, where the agent sent one. */
function causesOf(error: object): string[] {
  const causes: string[] = [];
  for (let at: unknown = (error as { cause?: unknown }).cause; at !== undefined && causes.length < 8; ) {
    if (typeof at === "string") return [...causes, at];
    if (typeof at !== "object" || at === null) return causes;
    const { message, cause } = at as { message?: string; cause?: unknown };
    causes.push(message ?? JSON.stringify(at));
    at = cause;
  }
  return causes;
}

export function Fold({
  title,
  open = false,
  children,
}: {
  title: string;
  open?: boolean;
  children: preact.ComponentChildren;
}) {
  return (
    <details class="fold" open={open}>
      <summary>{title}</summary>
      {children}
    </details>
  );
}
