/** Who is here: load and last answer of every agent, the queue of every role, how tasks go. */
import { useEffect, useState } from "preact/hooks";
import type { TaskStatisticsView } from "../../http/api.ts";
import { ask } from "../model/api-client.ts";
import { ago, count, duration, plural } from "../model/format.ts";
import { followSwarm, type SeenAgent, swarmAgents, swarmLoaded, swarmRoles } from "../model/swarm-store.ts";
import { Shares } from "../parts/look.tsx";

const TICK_MS = 1_000;
const TASKS_MS = 6_000;

export function AgentsView() {
  const [tasks, setTasks] = useState<TaskStatisticsView | undefined>(undefined);
  const [, setTick] = useState(0);
  useEffect(() => followSwarm(), []);
  useEffect(() => {
    const load = (): void => {
      ask<TaskStatisticsView>("/api/tasks").then(setTasks, () => undefined); // The next turn asks again.
    };
    load();
    const timers = [setInterval(load, TASKS_MS), setInterval(() => setTick(Date.now()), TICK_MS)];
    return () => timers.forEach(clearInterval);
  }, []);
  const agents = [...swarmAgents.value].sort((a, b) => a.id.localeCompare(b.id));
  const roles = [...swarmRoles.value].sort((a, b) => b.queued - a.queued || a.role.localeCompare(b.role));
  const deepest = Math.max(1, ...roles.map(({ queued, held }) => queued + held));
  return (
    <main class="page" id="main">
      <div class="page-head">
        <h1>Agents</h1>
        {swarmLoaded.value && (
          <p class="soft">{plural(agents.filter(({ present }) => present).length, "agent")} present</p>
        )}
      </div>
      {swarmLoaded.value && agents.length === 0 && (
        <div class="empty">
          <h2>Nobody is here</h2>
          <p>Agents join from any machine that reaches the broker:</p>
          <pre class="mono">datahammer agent agents.ts</pre>
        </div>
      )}
      <div class="agent-cards">
        {agents.map((agent) => (
          <AgentCard key={agent.id} agent={agent} />
        ))}
      </div>
      {roles.length > 0 && (
        <>
          <h2>Queues</h2>
          <div class="card table-scroll">
            <table>
              <thead>
                <tr>
                  <th scope="col">Role</th>
                  <th scope="col">Waiting and held</th>
                  <th scope="col" class="right">
                    Waiting
                  </th>
                  <th scope="col" class="right">
                    Held
                  </th>
                  <th scope="col" class="right">
                    At most
                  </th>
                </tr>
              </thead>
              <tbody>
                {roles.map(({ role, queued, held, inFlight }) => (
                  <tr key={role}>
                    <th scope="row">{role}</th>
                    <td>
                      <Shares
                        label={`${queued} waiting, ${held} held`}
                        total={deepest}
                        parts={[
                          { look: "running", amount: held },
                          { look: "ready", amount: queued },
                          { look: "pending", amount: deepest - queued - held },
                        ]}
                      />
                    </td>
                    <td class="number right">{count(queued)}</td>
                    <td class="number right">{count(held)}</td>
                    <td class="number right soft">{count(inFlight)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
      {tasks !== undefined && tasks.tasks.length > 0 && (
        <>
          <h2>Tasks</h2>
          <p class="soft">over the newest {plural(tasks.runs, "run")}</p>
          <div class="card table-scroll">
            <table>
              <thead>
                <tr>
                  <th scope="col">Task</th>
                  <th scope="col" class="right">
                    Done
                  </th>
                  <th scope="col" class="right">
                    Failed
                  </th>
                  <th scope="col">Success</th>
                  <th scope="col" class="right">
                    Median
                  </th>
                  <th scope="col" class="right">
                    95 %
                  </th>
                  <th scope="col" class="right">
                    Wait
                  </th>
                </tr>
              </thead>
              <tbody>
                {tasks.tasks.map(({ role, task, completed, failed, durationMs, waitMs }) => (
                  <tr key={`${role} ${task}`}>
                    <th scope="row" class="mono">
                      {role}.{task}
                    </th>
                    <td class="number right">{count(completed)}</td>
                    <td class="number right">
                      {failed > 0 ? <span class="bad-text">{count(failed)}</span> : 0}
                    </td>
                    <td>
                      <Shares
                        label={`${percent(completed, failed)} succeeded`}
                        total={completed + failed}
                        parts={[
                          { look: "done", amount: completed },
                          { look: "failed", amount: failed },
                        ]}
                      />
                    </td>
                    <td class="number right nowrap">
                      {durationMs === null ? "—" : duration(durationMs.p50)}
                    </td>
                    <td class="number right nowrap">
                      {durationMs === null ? "—" : duration(durationMs.p95)}
                    </td>
                    <td class="number right nowrap">{waitMs === null ? "—" : duration(waitMs.p50)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </main>
  );
}

function AgentCard({ agent }: { agent: SeenAgent }) {
  const { id, roles, pid, host, version, running, concurrency, done, failed, startedAt, seenAt, present } =
    agent;
  const now = Date.now();
  return (
    <article class={`card agent${present ? "" : " gone"}`}>
      <header>
        <h3>{id}</h3>
        <p class={present ? "soft" : "bad-text"}>
          {present ? `answered ${ago(now - seenAt)}` : `silent for ${duration(now - seenAt)}`}
        </p>
      </header>
      <p class="neighbours">
        {roles.map(({ role, tasks }) => (
          <span key={role} class="chip" title={tasks.map(({ name }) => name).join(", ")}>
            {role}
          </span>
        ))}
      </p>
      <div class="load">
        <Shares
          label={`${running} of ${concurrency} places taken`}
          total={concurrency}
          parts={[
            { look: "running", amount: running },
            { look: "pending", amount: concurrency - running },
          ]}
        />
        <span class="number">
          {running} / {concurrency}
        </span>
      </div>
      <dl class="numbers">
        <div>
          <dt>done</dt>
          <dd>{count(done)}</dd>
        </div>
        <div>
          <dt>failed</dt>
          <dd class={failed > 0 ? "bad-text" : ""}>{count(failed)}</dd>
        </div>
        <div>
          <dt>here for</dt>
          <dd>{duration(Math.max(0, now - Date.parse(startedAt)))}</dd>
        </div>
      </dl>
      <p class="soft small mono">
        {host} · process {pid} · {version}
      </p>
    </article>
  );
}

function percent(completed: number, failed: number): string {
  return `${Math.round((100 * completed) / Math.max(1, completed + failed))} %`;
}
