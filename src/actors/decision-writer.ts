/**
 * Writes the decisions of one hold to the run's log (L3).
 *
 * It owns the epoch of the hold and the order of its decisions: one at a time, each expecting the last
 * decision that was folded, each judged again at the moment of writing. It does not own what to decide.
 *
 *  - D1 A decision is written only if nobody else decided since the state it was made from.
 *  - D2 Once another holder's claim is folded, nothing is written any more.
 *  - D3 A refusal that the log does not explain, time and again, means that the broker has removed records: then
 *    what was folded is not what the log says (L1), and nothing can be decided on it.
 */
import type { Bus } from "../bus/bus.ts";
import { checkIn, travelsAsItIs } from "../bus/claim-check.ts";
import type { DecisionMessage } from "../bus/decisions.ts";
import { DataHammerError, UnreachableError } from "../workflow/errors.ts";

type Omitted = "v" | "id" | "epoch" | "at";
/** A decision without what the writer adds. */
export type Proposal = DecisionMessage extends infer D
  ? D extends unknown
    ? Omit<D, Omitted>
    : never
  : never;

/** What the writer needs of the hold. */
export interface DecisionScene {
  readonly epoch: number;
  readonly lastDecisionSeq: number;
  /** Epoch ms by the hold's reckoning (L7). */
  now(): number;
  newId(): string;
  /** Resolves once the log is folded up to this sequence. */
  folded(seq: number): Promise<void>;
  /** Reads the log to its end from the leader. */
  sync(): Promise<number>;
  /** Resolves after a pause; early when the hold ends. */
  pause(delayMs: number): Promise<void>;
  /** The hold has ended: nothing may be written. */
  over(): boolean;
}

const RETRY_MS = 500;
/** The broker has removed what it stored of a run. */
export const LOG_LOST = "E_LOG_LOST";
/** Refusals in a row, with growing pauses, a cluster's new leader having caught up by then (D3). */
const MAX_REFUSALS = 6;

export class DecisionWriter {
  readonly #bus: Bus;
  readonly #run: string;
  readonly #scene: DecisionScene;
  #epoch = 0;
  /** Decisions that are proposed and not folded yet. */
  #waiting = 0;
  #tail: Promise<unknown> = Promise.resolve();
  /** In a row, without a reason in the log. */
  #refusals = 0;

  constructor(bus: Bus, run: string, scene: DecisionScene) {
    this.#bus = bus;
    this.#run = run;
    this.#scene = scene;
  }

  /** The epoch of this hold; 0 before its claim. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Nothing is to be written. */
  get idle(): boolean {
    return this.#waiting === 0;
  }

  /** D2: whether another holder claimed the run since. */
  get fenced(): boolean {
    return this.#epoch > 0 && this.#scene.epoch > this.#epoch;
  }

  /**
   * Claims the run: the first decision of a hold. Resolves with false when another claimed over it before it was
   * folded, or the hold ended. Two that went on claiming over each other would do so for ever.
   */
  async claim(holder: string): Promise<boolean> {
    while (!this.#scene.over()) {
      const epoch = this.#scene.epoch + 1;
      const rules = { looks: true, judges: true, raises: true, rules: 3 } as const;
      if (!(await this.#write({ type: "claim", holder, ...rules }, epoch))) continue;
      if (this.#scene.epoch !== epoch) return false;
      this.#epoch = epoch;
      return true;
    }
    return false;
  }

  /**
   * Decides when its turn comes. `make` is called then, on the state of that moment; undefined: no longer
   * needed. Resolves once the decision is folded, or given up because the hold ended. Rejects when it cannot be
   * made or written at all; the next one has its turn all the same.
   */
  propose(make: () => Proposal | undefined): Promise<void> {
    this.#waiting += 1;
    const turn = this.#tail.then(async () => {
      try {
        while (!this.#scene.over() && !this.fenced) {
          const proposal = make();
          if (!proposal || (await this.#write(proposal, this.#epoch))) return;
        }
      } finally {
        this.#waiting -= 1;
      }
    });
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  /** A run's outputs, or a step's new inputs, may be larger than a message: they go by reference then. */
  async #fitting(proposal: Proposal): Promise<Proposal> {
    const { artifacts } = this.#bus;
    const isSmall = (values: Record<string, unknown>) => travelsAsItIs(values, artifacts.claimCheckBytes);
    if (proposal.type === "recover" && proposal.inputs && !isSmall(proposal.inputs))
      return { ...proposal, inputs: await checkIn(artifacts, this.#run, proposal.inputs) };
    if (proposal.type !== "end" || !proposal.outputs || isSmall(proposal.outputs)) return proposal;
    return { ...proposal, outputs: await checkIn(artifacts, this.#run, proposal.outputs) };
  }

  /** D1. True when it was stored and folded; false: look at the state again. */
  async #write(proposal: Proposal, epoch: number): Promise<boolean> {
    const scene = this.#scene;
    // D1: what was known when it was made. Another's claim may be folded while its values are checked in.
    const expectLast = scene.lastDecisionSeq;
    try {
      const made = await this.#fitting(proposal);
      const body = { ...made, v: 1, id: scene.newId(), epoch, at: scene.now() } as DecisionMessage;
      const outcome = await this.#bus.log.append(this.#run, { kind: "decision", body }, { expectLast });
      if (outcome.ok) {
        this.#refusals = 0;
        await scene.folded(outcome.seq);
        return true;
      }
      const expected = scene.lastDecisionSeq;
      await scene.sync();
      if (scene.lastDecisionSeq === expected) await this.#unexplained(expected, outcome.lastSeq ?? 0);
      else this.#refusals = 0;
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
      // The broker is away, and the append may or may not be in the log: wait, read on, look again.
      await scene.pause(RETRY_MS);
      if (!scene.over()) await scene.sync().catch(() => 0);
    }
    return false;
  }

  /** D3. The log refuses what it should take by all that was read of it. */
  async #unexplained(expected: number, found: number): Promise<void> {
    this.#refusals += 1;
    if (this.#refusals >= MAX_REFUSALS) throw logLost(this.#run, expected, found);
    await this.#scene.pause(RETRY_MS * 2 ** (this.#refusals - 1));
  }
}

function logLost(run: string, expected: number, found: number): DataHammerError {
  const what = found === 0 ? "there is none now" : `the last one is ${found} now`;
  return new DataHammerError(
    LOG_LOST,
    `the log of run ${run} had decision ${expected} as its last one, and ${what}: the broker has removed what it stored`,
    {
      remedy:
        "Give the log's stream room, by another bound than max_bytes on nats-server 2.9; the run goes on from what is left.",
      data: { run, expected, found },
    },
  );
}
