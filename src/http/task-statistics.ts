/**
 * How long tasks take and how often they succeed, over the newest runs.
 *
 * A view over their logs (L1), made when it is asked for and kept for a short while: it is for people who
 * look at the agents, not for decisions.
 */
import type { Bus, Clock } from "../bus/bus.ts";
import type { Dispatch } from "../trace/dispatches.ts";
import { NotFoundError } from "../workflow/errors.ts";
import type { TaskStatisticsView } from "./api.ts";
import type { RunLibrary } from "./run-library.ts";

/** The newest runs that are looked at, and the steps of them together (L8). */
const MAX_RUNS = 20;
const MAX_STEPS = 20_000;
const KEPT_MS = 5_000;

interface Tally {
  role: string;
  task: string;
  completed: number;
  failed: number;
  open: number;
  durations: number[];
  waits: number[];
}

export class TaskStatistics {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #library: RunLibrary;
  #last: { at: number; answer: Promise<TaskStatisticsView> } | undefined;

  constructor(bus: Bus, clock: Clock, library: RunLibrary) {
    this.#bus = bus;
    this.#clock = clock;
    this.#library = library;
  }

  view(): Promise<TaskStatisticsView> {
    const now = this.#clock.monotonic();
    if (this.#last === undefined || now - this.#last.at > KEPT_MS) {
      const answer = this.#count();
      this.#last = { at: now, answer };
      answer.catch(() => {
        this.#last = undefined;
      });
    }
    return this.#last.answer;
  }

  async #count(): Promise<TaskStatisticsView> {
    const newest = await this.#bus.index.list({ limit: MAX_RUNS });
    const tallies = new Map<string, Tally>();
    let runs = 0;
    let steps = 0;
    for (const { run, steps: counts } of newest) {
      if (steps > 0 && steps + counts.total > MAX_STEPS) break;
      steps += counts.total;
      try {
        await this.#library.use(run, (reading) => {
          for (const dispatch of reading.dispatches.all) if (!dispatch.fannedOut) count(tallies, dispatch);
        });
        runs += 1;
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error; // Removed since it was listed.
      }
    }
    const tasks = [...tallies.values()].map(({ durations, waits, ...rest }) => ({
      ...rest,
      durationMs: spreadOf(durations),
      waitMs: spreadOf(waits),
    }));
    tasks.sort((a, b) => a.role.localeCompare(b.role) || a.task.localeCompare(b.task));
    return { runs, tasks };
  }
}

function count(tallies: Map<string, Tally>, dispatch: Dispatch): void {
  const { role, task, startedAt, endedAt, readyAt, end } = dispatch;
  const key = `${role} ${task}`;
  let tally = tallies.get(key);
  if (tally === undefined) {
    tally = { role, task, completed: 0, failed: 0, open: 0, durations: [], waits: [] };
    tallies.set(key, tally);
  }
  if (startedAt !== undefined) tally.waits.push(Math.max(0, startedAt - readyAt));
  if (endedAt === undefined) tally.open += 1;
  else if (end === "complete" || end === "repeat" || end === "hand off") tally.completed += 1;
  else if (end === "fail" || end === "time out") tally.failed += 1;
  if (startedAt !== undefined && endedAt !== undefined)
    tally.durations.push(Math.max(0, endedAt - startedAt));
}

function spreadOf(values: number[]): { p50: number; p95: number; max: number } | null {
  if (values.length === 0) return null;
  values.sort((a, b) => a - b);
  const at = (share: number): number =>
    values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}
