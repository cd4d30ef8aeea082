/**
 * What changes in the swarm as a whole, for everybody who watches: the list of runs, the agents, the queues.
 *
 * These are views that the bus answers on request, so they are asked for in turns while somebody watches,
 * once for all watchers, and what is the same as before is not told. Owns the turns, and the last answers.
 */
import type { Bus, Clock, RoleStatus } from "../bus/bus.ts";
import type { AgentPresence, RunSummary } from "../bus/messages.ts";
import { isoTime } from "../trace/view.ts";
import type { SwarmEvent } from "./api-events.ts";
import type { EventStream } from "./event-stream.ts";
import { agentView } from "./presented.ts";

const TURN_MS = 1_000;
/** Agents answer for themselves, each turn costs everybody's attention: not every time. */
const TURNS_PER_ROLL_CALL = 3;
/** A turn that took long is followed by a pause of this many times as long. */
const REST_FACTOR = 4;

interface Known {
  runs: ReadonlyMap<string, RunSummary>;
  agents: readonly AgentPresence[];
  roles: readonly RoleStatus[];
}

export class SwarmFeed {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #onProblem: (error: unknown) => void;
  readonly #streams = new Set<EventStream>();
  /** Streams that were not ready when something changed: they are told all when they are. */
  readonly #behind = new Set<EventStream>();
  #known: Known = { runs: new Map(), agents: [], roles: [] };
  #timer: unknown;
  #turning = false;
  #turns = 0;

  constructor(bus: Bus, clock: Clock, onProblem: (error: unknown) => void) {
    this.#bus = bus;
    this.#clock = clock;
    this.#onProblem = onProblem;
  }

  /** Tells the stream all there is, then what changes. */
  add(stream: EventStream): void {
    const first = this.#streams.size === 0;
    this.#streams.add(stream);
    stream.onClose(() => this.#remove(stream));
    stream.onReady(() => {
      if (this.#behind.delete(stream)) stream.send("swarm", this.#whole());
    });
    // What was known before everybody left is old: the first turn tells all.
    if (first) this.#known = { runs: new Map(), agents: [], roles: [] };
    else stream.send("swarm", this.#whole());
    if (first && !this.#turning) void this.#turn();
  }

  #whole(): SwarmEvent {
    const { runs, agents, roles } = this.#known;
    return {
      at: isoTime(this.#clock.now()),
      runs: [...runs.values()],
      agents: agents.map(agentView),
      roles: [...roles],
    };
  }

  #remove(stream: EventStream): void {
    this.#streams.delete(stream);
    this.#behind.delete(stream);
    if (this.#streams.size > 0) return;
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#turns = 0;
  }

  async #turn(): Promise<void> {
    this.#turning = true;
    const began = this.#clock.monotonic();
    try {
      const rollCall = this.#turns % TURNS_PER_ROLL_CALL === 0;
      this.#turns += 1;
      const [runs, roles, agents] = await Promise.all([
        this.#bus.index.list(),
        this.#bus.tasks.roles(),
        rollCall ? this.#bus.presence.list() : this.#known.agents,
      ]);
      this.#tell({ runs: new Map(runs.map((run) => [run.run, run])), roles, agents }, rollCall);
    } catch (error) {
      // The broker is away: the next turn asks again.
      this.#onProblem(error);
    }
    this.#turning = false;
    if (this.#streams.size === 0) return;
    const tookMs = this.#clock.monotonic() - began;
    this.#timer = this.#clock.setTimeout(() => void this.#turn(), Math.max(TURN_MS, tookMs * REST_FACTOR));
  }

  #tell(now: Known, rollCall: boolean): void {
    const before = this.#known;
    this.#known = now;
    const changed = [...now.runs.values()].filter((run) => !isSame(run, before.runs.get(run.run)));
    const removed = [...before.runs.keys()].filter((run) => !now.runs.has(run));
    const event: SwarmEvent = {
      at: isoTime(this.#clock.now()),
      ...(changed.length === 0 ? {} : { runs: changed }),
      ...(removed.length === 0 ? {} : { removed }),
      ...(isSame(now.roles, before.roles) ? {} : { roles: [...now.roles] }),
      // Told at each roll call, the same or not: that they answered is the news.
      ...(rollCall ? { agents: now.agents.map(agentView) } : {}),
    };
    if (Object.keys(event).length === 1) return;
    for (const stream of this.#streams) {
      if (stream.ready) stream.send("swarm", event);
      else this.#behind.add(stream);
    }
  }
}

const isSame = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);
