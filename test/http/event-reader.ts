/** Reads server-sent events from a response, one after another, as a client that is not a browser does. */

export interface ServerEvent {
  event: string;
  id: string | undefined;
  data: unknown;
}

export class EventReader {
  readonly #abort = new AbortController();
  readonly #events: ServerEvent[] = [];
  readonly comments: string[] = [];
  #wake: () => void = () => {};
  #ended = false;

  private constructor(response: Response) {
    void this.#read(response);
  }

  static async open(url: string, headers: Record<string, string> = {}): Promise<EventReader> {
    const abort = new AbortController();
    const response = await fetch(url, { headers, signal: abort.signal });
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
    const reader = new EventReader(response);
    reader.#abort.signal.addEventListener("abort", () => abort.abort());
    return reader;
  }

  /** The next event. @throws when the stream has ended */
  async next(): Promise<ServerEvent> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      if (this.#ended) throw new Error("the stream has ended");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The next event that is as wished; those before it are given up. */
  async until(wished: (event: ServerEvent) => boolean): Promise<ServerEvent> {
    for (;;) {
      const event = await this.next();
      if (wished(event)) return event;
    }
  }

  close(): void {
    this.#abort.abort();
  }

  async #read(response: Response): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? []) {
        rest += decoder.decode(chunk as Uint8Array, { stream: true });
        const blocks = rest.split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block of blocks) this.#take(block);
        this.#wake();
      }
    } catch (error) {
      if (!this.#abort.signal.aborted) this.comments.push(String(error));
    }
    this.#ended = true;
    this.#wake();
  }

  #take(block: string): void {
    const fields = new Map(
      block.split("\n").map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon), line.slice(colon + 1).trimStart()] as const;
      }),
    );
    const data = fields.get("data");
    if (data === undefined) this.comments.push(block);
    else
      this.#events.push({
        event: fields.get("event") ?? "message",
        id: fields.get("id"),
        data: JSON.parse(data),
      });
  }
}
