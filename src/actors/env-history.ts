/**
 * The changes of a run's environment since a place, for a watcher that missed some: read from the log and folded
 * again, since a hold keeps only what is there now (L1).
 *
 * It owns cutting them into answers that fit a message, and keeps the rest of a reading for the next question, for a
 * while.
 */
import type { Bus } from "../bus/bus.ts";
import { checkIn, messageValuesBytes } from "../bus/claim-check.ts";
import { encodeBody } from "../bus/codec.ts";
import type { Answer, EnvChangeMessage, Question } from "../bus/messages.ts";
import { RunFold } from "../fold/run-fold.ts";

type ChangesQuestion = Question & { q: "changes" };
/** As the fold gives them: each has its number. */
type Changes = readonly (EnvChangeMessage & { number: number })[];

/** Changes of one answer, however small (L8). */
const PAGE = 1_000;

export class EnvHistory {
  readonly #bus: Bus;
  /** What a reading found and no answer has told yet. */
  #rest: Changes = [];

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  get hasRest(): boolean {
    return this.#rest.length > 0;
  }

  /** @throws UnreachableError */
  async answer(fold: RunFold, { after, afterRevision }: ChangesQuestion): Promise<Answer> {
    const { environment } = fold;
    const { number } = environment;
    const isThere = after === undefined ? (afterRevision ?? environment.revision) : after;
    if (isThere >= (after === undefined ? environment.revision : number)) return { number, changes: [] };
    const from = this.#rest.findIndex((change) => change.number - 1 === after);
    const found = from < 0 ? await this.#read(fold, after, afterRevision) : this.#rest.slice(from);
    return this.#page(fold, found);
  }

  async #page(fold: RunFold, found: Changes): Promise<Answer> {
    const changes: EnvChangeMessage[] = [];
    let bytes = 0;
    for (const change of found.slice(0, PAGE)) {
      const { value } = await checkIn(this.#bus.artifacts, fold.run, { value: change.value });
      const told = { ...change, value };
      bytes += encodeBody(told).length;
      if (bytes > messageValuesBytes(this.#bus.artifacts) && changes.length > 0) break;
      changes.push(told);
    }
    this.#rest = found.slice(changes.length);
    const { number = fold.environment.number } = found[changes.length - 1] ?? {};
    return { number, changes, ...(number < fold.environment.number && { more: true }) };
  }

  /** Nobody asked for the rest. */
  forget(): void {
    this.#rest = [];
  }

  async #read({ run, lastSeq }: RunFold, after: number | undefined, afterRevision = 0): Promise<Changes> {
    const then = new RunFold(run);
    const changes: (EnvChangeMessage & { number: number })[] = [];
    for await (const record of this.#bus.log.read(run, { to: lastSeq })) {
      for (const effect of then.apply(record)) {
        if (effect.type !== "env") continue;
        const { number = 0, revision } = effect.change;
        const isYounger = after === undefined ? revision > afterRevision : number > after;
        if (isYounger) changes.push({ ...effect.change, number });
      }
    }
    return changes;
  }
}
