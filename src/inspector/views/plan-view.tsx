/** Why the run has these steps: goals, the planner's reasons, and each revision as a difference. */
import { useEffect, useState } from "preact/hooks";
import type { PlanAnswer } from "../../http/api.ts";
import { type ApiError, ask, pathOf } from "../model/api-client.ts";
import { count, exactClock, plural } from "../model/format.ts";
import { runAddress } from "../model/router.ts";
import { asApiError, type RunStore } from "../model/run-store.ts";
import { JsonView } from "../parts/json-view.tsx";
import { ProblemNote } from "../parts/problem-note.tsx";
import { Fold } from "./step-panel.tsx";

export function PlanView({ store }: { store: RunStore }) {
  const [answer, setAnswer] = useState<PlanAnswer | undefined>(undefined);
  const [problem, setProblem] = useState<ApiError | undefined>(undefined);
  const cursor = store.cursor.value;
  useEffect(() => {
    const abort = new AbortController();
    const query = cursor === undefined ? "" : `?at=${cursor}`;
    ask<PlanAnswer>(`${pathOf("runs", store.run, "plan")}${query}`, abort.signal).then(setAnswer, (error) => {
      if (!abort.signal.aborted) setProblem(asApiError(error));
    });
    return () => abort.abort();
  }, [store.run, store.graph.value, cursor]);
  if (problem) return <ProblemNote error={problem} />;
  if (answer === undefined) return <p class="soft pad">Reading the plan …</p>;
  const { plan, goals, want, revisions, workflow } = answer;
  return (
    <div class="plan">
      {(goals.length > 0 || want.length > 0) && (
        <section>
          <h3>Goal</h3>
          {goals.map((goal) => (
            <blockquote key={goal}>{goal}</blockquote>
          ))}
          {want.length > 0 && (
            <p class="soft">
              wanted keys: <span class="mono">{want.join(", ")}</span>
            </p>
          )}
        </section>
      )}
      {plan === null ? (
        <p class="soft">
          {revisions.length === 0 ? "This run was submitted as a workflow: nobody planned it." : ""}
        </p>
      ) : (
        <section>
          <h3>Plan</h3>
          <dl class="numbers">
            <div>
              <dt>cost</dt>
              <dd>{count(plan.cost)}</dd>
            </div>
            <div>
              <dt>proof</dt>
              <dd>{plan.optimal ? "no plan costs less" : "best found"}</dd>
            </div>
            <div>
              <dt>states explored</dt>
              <dd>{count(plan.explored)}</dd>
            </div>
          </dl>
          <Reasons store={store} reasons={plan.reasons} />
          <Alternatives store={store} alternatives={revisions[0]?.alternatives ?? []} />
        </section>
      )}
      {revisions.length > 1 && (
        <section>
          <h3>{plural(revisions.length - 1, "time")} weighed again</h3>
          <ol class="revisions">
            {revisions.slice(1).map((revision) => (
              <li key={revision.seq}>
                <p>
                  <button type="button" class="link mono" onClick={() => store.seek(revision.seq)}>
                    {exactClock(Date.parse(revision.ts))}
                  </button>{" "}
                  <b>{revision.cause}</b>
                  {!revision.counted && <span class="soft"> · the plan stood</span>}
                  {revision.cost !== null && (
                    <span class="soft"> · cost of the rest {count(revision.cost)}</span>
                  )}
                </p>
                <ul class="difference">
                  {revision.added.map((id) => (
                    <li key={id} class="added">
                      + {id} <span class="soft">{revision.reasons[id]}</span>
                    </li>
                  ))}
                  {revision.removed.map((id) => (
                    <li key={id} class="removed">
                      − <del>{id}</del>
                    </li>
                  ))}
                  {revision.changed.map((id) => (
                    <li key={id} class="changed">
                      ~ {id} <span class="soft">{revision.reasons[id]}</span>
                    </li>
                  ))}
                </ul>
                <Alternatives store={store} alternatives={revision.alternatives} />
              </li>
            ))}
          </ol>
        </section>
      )}
      <Fold title="The workflow as a document">
        <JsonView value={workflow} />
      </Fold>
    </div>
  );
}

type Alternative = PlanAnswer["revisions"][number]["alternatives"][number];

/** What the plan could have used in the place of its steps. */
function Alternatives({ store, alternatives }: { store: RunStore; alternatives: readonly Alternative[] }) {
  if (alternatives.length === 0) return null;
  return (
    <Fold title={plural(alternatives.length, "alternative")} open={alternatives.length <= 6}>
      <ul class="plain">
        {alternatives.map(({ role, task, step, reason }) => (
          <li key={`${role}.${task}`}>
            <span class="mono">
              {role}.{task}
            </span>{" "}
            {step !== undefined && (
              <>
                instead of{" "}
                {store.history.has(step) ? (
                  <a href={runAddress(store.run, "steps", step)}>{step}</a>
                ) : (
                  step
                )}{" "}
              </>
            )}
            <span class="soft">{reason}</span>
          </li>
        ))}
      </ul>
    </Fold>
  );
}

function Reasons({ store, reasons }: { store: RunStore; reasons: Record<string, string> }) {
  const entries = Object.entries(reasons);
  const [all, setAll] = useState(false);
  const shown = all ? entries : entries.slice(0, 50);
  return (
    <dl class="reasons">
      {shown.map(([id, reason]) => (
        <div key={id}>
          <dt>{store.history.has(id) ? <a href={runAddress(store.run, "steps", id)}>{id}</a> : id}</dt>
          <dd>{reason}</dd>
        </div>
      ))}
      {entries.length > shown.length && (
        <button type="button" class="link" onClick={() => setAll(true)}>
          {count(entries.length - shown.length)} more
        </button>
      )}
    </dl>
  );
}
