/** What the parts of a fold share: the record that is being folded, and the effects that follow from it. */
import { holdsReference, isClaimCheck } from "../bus/claim-check.ts";
import { Environment, type EnvironmentVerdict, type EnvironmentWriter } from "../workflow/environment.ts";
import type { SecretMask } from "../workflow/secrets.ts";
import type { Effect } from "./effect.ts";
import type { FoldObserver, VoidRecord } from "./transition-record.ts";

export class FoldFrame {
  readonly run: string;
  readonly environment = new Environment();
  readonly observer: FoldObserver;
  /** Log sequence of the record. */
  seq = 0;
  /** Epoch ms of the record. */
  ts = 0;
  effects: Effect[] = [];
  /** Whether the present holder looks inside large values wherever that is needed; earlier ones did not (L1). */
  looksInside = false;
  /** Whether it also holds large values against schemas that did not come by a result. */
  judges = false;
  /** Whether it heeds budgets that are raised: above a nested run, and not by what is refused. */
  raises = false;
  /** Edition of the rules that it goes by: see the claim. */
  rules = 0;
  /** Undefined while the workflow names none: then nothing is spent on them. */
  secrets: SecretMask | undefined;

  constructor(run: string, observer: FoldObserver) {
    this.run = run;
    this.observer = observer;
  }

  /** Begins the next record. */
  begin(record: { seq: number; ts: number }): void {
    this.seq = record.seq;
    this.ts = record.ts;
    this.effects = [];
  }

  /** Writes a key at the record's sequence; watchers are told when it applied. */
  setEnv(key: string, value: unknown, writer: EnvironmentWriter, ifRevision?: number): EnvironmentVerdict {
    const update = { key, value, revision: this.seq, writer };
    const verdict = this.environment.apply(ifRevision === undefined ? update : { ...update, ifRevision });
    if (verdict.applied) {
      if (isClaimCheck(value)) this.environment.hasLarge = true;
      else if (holdsReference(value)) this.environment.hasNested = true;
      this.secrets?.learn(key, value);
      const { number } = this.environment;
      const change = { run: this.run, key, value, revision: this.seq, writer, number };
      this.effects.push({ type: "env", change });
    }
    return verdict;
  }

  /** Notes that the record changes nothing, and why (F4). */
  void(verdict: VoidRecord["verdict"], step: string | null, reason: string): void {
    this.observer.onVoid?.({ seq: this.seq, ts: this.ts, verdict, step, reason });
  }
}
