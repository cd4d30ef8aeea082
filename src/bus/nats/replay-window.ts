/**
 * How much of what is stored one connection may have asked for and not got: a few pages, shared by all of its
 * replays. A server ends a connection that lets more than `max_pending` lie unread, and a process that folds what
 * it has got reads nothing meanwhile.
 *
 * Owns the count of the pages that are out, and whose turn is next. It does not own what is asked for with them.
 */

/** A place for one request. */
export interface ReplayPlace {
  /** The most that the request may ask for, unless it has all pages for one message. */
  readonly bytes: number;
  /** Gives the place to whoever waits for it. To be called once. */
  turnOver(): void;
}

/** Pages that are out at once (L8). */
const PAGES = 4;
const MAX_PAGE_BYTES = 512 * 1_024;
/** No server takes a `max_pending` below its `max_payload`: all pages together are half of that. */
const PAYLOAD_SHARE = 2 * PAGES;

interface Waiting {
  readonly pages: number;
  go(place: ReplayPlace): void;
}

export class ReplayWindow {
  readonly #maxPayloadBytes: () => number;
  readonly #waiting: Waiting[] = [];
  #out = 0;

  /** @param maxPayloadBytes of the server that is connected at the moment */
  constructor(maxPayloadBytes: () => number) {
    this.#maxPayloadBytes = maxPayloadBytes;
  }

  /** A page, when it is free, in the order of asking. */
  page(): Promise<ReplayPlace> {
    return this.#wait(1);
  }

  /** All pages, for one message that is larger than one of them. */
  whole(): Promise<ReplayPlace> {
    return this.#wait(PAGES);
  }

  /** A page that nobody waits for. */
  spare(): ReplayPlace | undefined {
    return this.#waiting.length === 0 && this.#fits(1) ? this.#give(1) : undefined;
  }

  #wait(pages: number): Promise<ReplayPlace> {
    return new Promise((resolve) => {
      this.#waiting.push({ pages, go: resolve });
      this.#letIn();
    });
  }

  #letIn(): void {
    for (let [next] = this.#waiting; next !== undefined && this.#fits(next.pages); [next] = this.#waiting) {
      this.#waiting.shift();
      next.go(this.#give(next.pages));
    }
  }

  #fits(pages: number): boolean {
    return this.#out + pages <= PAGES;
  }

  #give(pages: number): ReplayPlace {
    this.#out += pages;
    const bytes = Math.min(MAX_PAGE_BYTES, Math.floor(this.#maxPayloadBytes() / PAYLOAD_SHARE));
    const turnOver = (): void => {
      this.#out -= pages;
      this.#letIn();
    };
    return { bytes, turnOver };
  }
}
