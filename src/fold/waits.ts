/**
 * What the steps of a run wait for from outside: a person's approval, a person's answer, a signal.
 *
 * It owns which steps wait and since when, the signals that came before anybody waited for them, and who
 * answered whom. It does not own what an answer does to its step: the answers do.
 *
 *  - W1 A step waits while it is ready and nothing of it may be given out; it holds no dispatch meanwhile.
 *  - W2 The first answer of a wait ends it; every later one is told whose that was.
 *  - W3 Signals are consumed in the order in which they came, by steps in the order in which they waited.
 */

/** Signals that a run keeps for steps that do not wait yet (L8). */
export const MAX_KEPT_SIGNALS = 1_000;

export type WaitKind = "approval" | "human" | "signal" | "failure";

export interface Wait {
  readonly step: string;
  readonly n: number;
  readonly kind: WaitKind;
  /** The question to people, the signal's name, the task that wants approval, or the one that failed. */
  readonly task: string;
  /** Epoch ms. */
  readonly since: number;
}

/** How a wait ended. */
export interface GivenAnswer {
  readonly verb: "approve" | "reject" | "signal";
  readonly by: string;
  readonly value: unknown;
}

export interface Signal {
  readonly value: unknown;
  readonly by: string;
}

export class Waits {
  readonly #open = new Map<string, Wait>();
  readonly #forSignal = new Map<string, Set<string>>();
  readonly #answers = new Map<string, GivenAnswer>();
  readonly #approved = new Set<string>();
  readonly #asked = new Set<string>();
  readonly #kept = new Map<string, Signal[]>();
  /** Waits that began while their signal was kept. */
  readonly #due: string[] = [];
  #keptCount = 0;
  #used = false;

  /** Whether a step ever waited, or a signal came: where not, nothing about waits needs to be looked at. */
  get used(): boolean {
    return this.#used;
  }

  get open(): ReadonlyMap<string, Wait> {
    return this.#open;
  }

  get keptSignals(): number {
    return this.#keptCount;
  }

  has(step: string): boolean {
    return this.#open.has(step);
  }

  begin(wait: Wait): void {
    this.#used = true;
    this.#open.set(wait.step, wait);
    if (wait.kind !== "signal") return;
    if (this.#kept.has(wait.task)) this.#due.push(wait.step);
    const waiting = this.#forSignal.get(wait.task);
    if (waiting) waiting.add(wait.step);
    else this.#forSignal.set(wait.task, new Set([wait.step]));
  }

  /** The step waits no more, whatever the reason. */
  end(step: string): void {
    const wait = this.#open.get(step);
    if (!wait) return;
    this.#open.delete(step);
    const waiting = this.#forSignal.get(wait.task);
    waiting?.delete(step);
    if (waiting?.size === 0) this.#forSignal.delete(wait.task);
  }

  // ── answers ──────────────────────────────────────────────────────────────────────────────────────

  /** W2: remembers who ended the wait. */
  answered(step: string, answer: GivenAnswer): void {
    this.end(step);
    this.#answers.set(step, answer);
  }

  /** Of the step's last wait. */
  answerOf(step: string): GivenAnswer | undefined {
    return this.#answers.get(step);
  }

  /** An approval holds for the rest of the run, over retries. */
  approve(step: string): void {
    this.#approved.add(step);
  }

  isApproved(step: string): boolean {
    return this.#approved.has(step);
  }

  /** People are asked what to do about the step's failure. */
  ask(step: string): void {
    this.#asked.add(step);
  }

  /** The question is settled: whatever comes of the step now, it is another failure. */
  settleAsked(step: string): void {
    this.#asked.delete(step);
  }

  isAsked(step: string): boolean {
    return this.#asked.has(step);
  }

  // ── signals ──────────────────────────────────────────────────────────────────────────────────────

  /** The step that waits longest for this signal. */
  waitingFor(signal: string): string | undefined {
    const [first] = this.#forSignal.get(signal) ?? [];
    return first;
  }

  /** Keeps a signal for a step to come. False: the run keeps as many as it may. */
  keep(name: string, signal: Signal): boolean {
    if (this.#keptCount >= MAX_KEPT_SIGNALS) return false;
    this.#used = true;
    this.#keptCount += 1;
    const kept = this.#kept.get(name);
    if (kept) kept.push(signal);
    else this.#kept.set(name, [signal]);
    return true;
  }

  /** Waits that began while a signal was kept for them, each with its signal (W3). */
  *deliveries(): Iterable<{ step: string; signal: Signal }> {
    for (let step = this.#due.shift(); step !== undefined; step = this.#due.shift()) {
      const name = this.#open.get(step)?.task;
      const kept = name === undefined ? undefined : this.#kept.get(name);
      const signal = kept?.shift();
      if (name === undefined || !signal) continue;
      if (kept?.length === 0) this.#kept.delete(name);
      this.#keptCount -= 1;
      yield { step, signal };
    }
  }
}
