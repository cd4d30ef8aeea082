/**
 * The ids of a run's spans in W3C trace context: the same whoever works them out, from the log alone (L1).
 *
 * So an agent can be given its dispatch's span as parent before anybody has exported that span.
 */
import { createHash } from "node:crypto";

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/;

export interface SpanContext {
  readonly traceId: string;
  readonly spanId: string;
}

/** The context that a submission was made in, if it says so. */
export function parseTraceparent(text: string | undefined): SpanContext | undefined {
  const match = TRACEPARENT.exec(text ?? "");
  return match?.[1] && match[2] ? { traceId: match[1], spanId: match[2] } : undefined;
}

export class SpanIds {
  readonly traceId: string;
  /** The span of whoever submitted the run. */
  readonly caller: SpanContext | undefined;
  readonly #seed: string;

  /** @param startedAt epoch ms of the submission: a run id may be used again after a purge */
  constructor(run: string, startedAt: number, traceparent?: string) {
    this.#seed = `${run}@${startedAt}`;
    this.caller = parseTraceparent(traceparent);
    this.traceId = this.caller?.traceId ?? digest(this.#seed, 32);
  }

  get run(): string {
    return digest(`${this.#seed}/run`, 16);
  }

  step(step: string): string {
    return digest(`${this.#seed}/step/${step}`, 16);
  }

  dispatch(step: string, n: number): string {
    return digest(`${this.#seed}/step/${step}/${n}`, 16);
  }

  /** What an agent's own spans go under. */
  traceparent(step: string, n: number): string {
    return this.#under(this.dispatch(step, n));
  }

  /** Those of an agent that has no step of the run. */
  get runTraceparent(): string {
    return this.#under(this.run);
  }

  #under(span: string): string {
    return `00-${this.traceId}-${span}-01`;
  }
}

function digest(text: string, hexDigits: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, hexDigits);
}
