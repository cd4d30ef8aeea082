/** What a simulation saw happen, for its judges: facts, without any opinion about them. */

export type Fact = { at: number; party: string } & (
  | {
      kind: "pushed";
      run: string;
      step: string;
      n: number;
      role: string;
      attempt: number;
      inputs: Record<string, unknown>;
      /** Texts in them that its agent is told to keep. */
      secrets: readonly string[];
      /** The log's last sequence at that moment. */
      logEnd: number;
    }
  | { kind: "ran"; run: string; step: string; n: number; logEnd: number }
  | { kind: "acked"; run: string; step: string; n: number; role: string; logEnd: number }
  /** The broker's word that a record is stored. */
  | { kind: "stored"; run: string; seq: number; entry: string; body: string }
  /** A follower handed a record to whoever folds. */
  | { kind: "folded"; run: string; session: number; seq: number }
  | { kind: "claimed"; run: string; epoch: number; seq: number }
);

export class Evidence {
  readonly facts: Fact[] = [];
  /** Ids of decisions that a rogue wrote. */
  readonly rogueDecisions = new Set<string>();
  /** When a party could not do what it is there for: it was stopped, cut off, dying, or a call of it failed. */
  readonly hindrances: { party: string; from: number; to: number }[] = [];

  add(fact: Fact): void {
    this.facts.push(fact);
  }

  hindered(party: string, from: number, forMs: number): void {
    this.hindrances.push({ party, from, to: from + forMs });
  }

  of<Kind extends Fact["kind"]>(kind: Kind): (Fact & { kind: Kind })[] {
    return this.facts.filter((fact): fact is Fact & { kind: Kind } => fact.kind === kind);
  }
}
