/** The swarm on the page: runs, agents and queues, kept up by one stream while a view needs them. */
import { signal } from "@preact/signals";
import type { AgentView, RoleView, RunLine } from "../../http/api.ts";
import type { SwarmEvent } from "../../http/api-events.ts";
import { openStream, type Stream } from "./api-client.ts";

/** An agent that does not answer any more is shown for this long. */
const GONE_MS = 60_000;

export interface SeenAgent extends AgentView {
  /** Epoch ms of its last answer, by this page's clock. */
  seenAt: number;
  present: boolean;
}

export const swarmRuns = signal<ReadonlyMap<string, RunLine>>(new Map());
export const swarmAgents = signal<readonly SeenAgent[]>([]);
export const swarmRoles = signal<readonly RoleView[]>([]);
export const swarmConnected = signal<boolean | undefined>(undefined);
/** Whether the first answer is in. */
export const swarmLoaded = signal(false);

let users = 0;
let stream: Stream | undefined;

/** Follows the swarm until the returned function is called. */
export function followSwarm(): () => void {
  users += 1;
  stream ??= openStream(
    () => "/api/events",
    { swarm: (data) => take(data as SwarmEvent) },
    (connected) => {
      swarmConnected.value = connected;
    },
  );
  return () => {
    users -= 1;
    if (users > 0) return;
    stream?.close();
    stream = undefined;
    swarmLoaded.value = false;
  };
}

function take({ runs, removed, agents, roles }: SwarmEvent): void {
  if (runs !== undefined || removed !== undefined) {
    const all = new Map(swarmRuns.peek());
    for (const run of runs ?? []) all.set(run.run, run);
    for (const run of removed ?? []) all.delete(run);
    swarmRuns.value = all;
  }
  if (roles !== undefined) swarmRoles.value = roles;
  if (agents !== undefined) {
    const now = Date.now();
    const here = new Set(agents.map(({ id }) => id));
    const gone = swarmAgents
      .peek()
      .filter(({ id, seenAt }) => !here.has(id) && now - seenAt < GONE_MS)
      .map((agent) => ({ ...agent, present: false }));
    swarmAgents.value = [...agents.map((agent) => ({ ...agent, seenAt: now, present: true })), ...gone];
  }
  swarmLoaded.value = true;
}
