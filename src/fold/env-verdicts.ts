/** What became of environment updates, kept for the agents that ask. */

/** Older verdicts are forgotten (L8). */
const KEPT_VERDICTS = 10_000;

/** Who wrote the revision that stands, and in words who wanted what. */
export interface EnvConflict {
  revision: number;
  writer: string;
  message: string;
}

export type EnvVerdictRecord =
  | { applied: true; revision: number }
  | { applied: false; conflict?: EnvConflict; error?: string };

export class EnvVerdicts {
  readonly #bySeq = new Map<number, EnvVerdictRecord>();

  get(seq: number): EnvVerdictRecord | undefined {
    return this.#bySeq.get(seq);
  }

  keep(seq: number, verdict: EnvVerdictRecord): void {
    this.#bySeq.set(seq, verdict);
    if (this.#bySeq.size <= KEPT_VERDICTS) return;
    const [oldest] = this.#bySeq.keys();
    if (oldest !== undefined) this.#bySeq.delete(oldest);
  }
}
