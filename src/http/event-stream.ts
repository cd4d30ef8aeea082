/**
 * One client's stream of server-sent events.
 *
 * Owns writing and its bounds: it says when the client has read what was written, sends the event `here` now and
 * then so that proxies keep the connection and the client knows that it still is one, and cuts a client that does not read (L8). What is sent is the
 * feeds' matter; they send nothing while the client is behind, so that nothing piles up for it.
 */
import type { ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import { constants, createGzip } from "node:zlib";
import type { Clock } from "../bus/bus.ts";

const HEARTBEAT_MS = 15_000;
/** A client that takes nothing for this long is cut. */
const SLOW_CLIENT_MS = 30_000;

interface EventStreamOptions {
  /** Each event is compressed by itself and sent at once. Default: as it is. */
  gzip?: boolean;
}

export class EventStream {
  readonly #response: ServerResponse;
  /** Where events are written: the response, or what compresses into it. */
  readonly #out: Writable;
  readonly #clock: Clock;
  readonly #onClose: (() => void)[] = [];
  #heartbeat: unknown;
  #patience: unknown;
  #onDrain: (() => void) | undefined;
  #closed = false;

  constructor(response: ServerResponse, clock: Clock, { gzip = false }: EventStreamOptions = {}) {
    this.#response = response;
    this.#clock = clock;
    // The client left while its stream was being made ready: nothing would ever say so again.
    this.#closed = response.destroyed;
    this.#out = gzip && !this.#closed ? compressing(response) : response;
    if (this.#closed) return;
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
      ...(gzip ? { "content-encoding": "gzip", vary: "accept-encoding" } : {}),
    });
    // How long a browser waits before it comes back.
    this.#out.write("retry: 1000\n\n");
    this.#out.on("drain", () => {
      this.#clock.clearTimeout(this.#patience);
      this.#patience = undefined;
      this.#onDrain?.();
    });
    response.on("close", () => this.#end());
    this.#beat();
  }

  /** Whether more may be sent: the client has read what was. */
  get ready(): boolean {
    return !this.#closed && !this.#out.writableNeedDrain;
  }

  /** Called whenever the client has caught up after it was behind. */
  onReady(listener: () => void): void {
    this.#onDrain = listener;
  }

  /** Calls the listener once: when the stream ends, or now if it has. */
  onClose(listener: () => void): void {
    if (this.#closed) listener();
    else this.#onClose.push(listener);
  }

  send(event: string, data: unknown, id?: number): void {
    if (this.#closed) return;
    const head = id === undefined ? "" : `id: ${id}\n`;
    this.#write(`${head}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** Ends the stream, saying why. */
  cut(code: string, message: string): void {
    if (this.#closed) return;
    const remedy = "Connect again with the header Last-Event-ID: nothing of the log is left out.";
    this.#out.end(`event: cut\ndata: ${JSON.stringify({ code, message, remedy })}\n\n`);
    this.#end();
  }

  #write(text: string): void {
    if (this.#out.write(text) || this.#patience !== undefined) return;
    this.#patience = this.#clock.setTimeout(() => {
      this.cut("E_SLOW_CLIENT", `nothing was read for ${SLOW_CLIENT_MS} ms`);
      // It reads nothing, so that it would not see the end either.
      this.#response.socket?.destroySoon();
    }, SLOW_CLIENT_MS);
  }

  #beat(): void {
    this.#heartbeat = this.#clock.setTimeout(() => {
      if (this.ready) this.send("here", {});
      this.#beat();
    }, HEARTBEAT_MS);
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#clock.clearTimeout(this.#heartbeat);
    this.#clock.clearTimeout(this.#patience);
    for (const listener of this.#onClose) listener();
  }
}

function compressing(response: ServerResponse): Writable {
  const gzip = createGzip({ level: constants.Z_BEST_SPEED, flush: constants.Z_SYNC_FLUSH });
  gzip.pipe(response);
  response.on("close", () => gzip.destroy());
  return gzip;
}
