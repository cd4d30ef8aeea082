/**
 * A run's live stream for one client: what the log moved after the sequence that the client has, without a
 * gap and without anything twice, then live messages as they come.
 *
 * It owns where the client is in the log. Nothing of the log is kept for a client that reads slowly: it goes
 * on from its place when it is ready. Live messages are kept up to a bound and then left out (L8).
 */
import type { Bus, Clock, Subscription } from "../bus/bus.ts";
import type { LiveMessage } from "../bus/messages.ts";
import { isoTime } from "../trace/view.ts";
import { masked } from "../workflow/secrets.ts";
import type { LiveEvent, RecordsEvent } from "./api-events.ts";
import type { EventStream } from "./event-stream.ts";
import { changeView, countsView, endOf, liveView, transitionView, voidView } from "./presented.ts";
import { between, graphSeqAt, type RunReading } from "./run-reading.ts";
import type { Feed } from "./run-stream.ts";

/** Records that come within this time are told together. */
const GATHER_MS = 50;
/** Sequences of the log that one event covers at most are found by this many transitions. */
const MAX_TRANSITIONS = 2_000;
const MAX_LIVE = 256;

export class RunFeed implements Feed {
  readonly #reading: RunReading;
  readonly #stream: EventStream;
  readonly #clock: Clock;
  readonly #subscriptions: Subscription[] = [];
  #seq: number;
  #timer: unknown;
  #live: LiveEvent["messages"] = [];
  #dropped = 0;
  /** What `ready` waits for; undefined once it is said. */
  #untold: "reading" | "telling" | undefined = "reading";

  /** @param after the last sequence that the client has; 0: none */
  constructor(ports: { bus: Bus; clock: Clock }, reading: RunReading, stream: EventStream, after: number) {
    this.#reading = reading;
    this.#stream = stream;
    this.#clock = ports.clock;
    this.#seq = after;
    this.#subscriptions.push(
      reading.listen({
        onRecord: () => this.#soon(),
        onReset: () => this.#stream.cut("E_LOG_REREAD", "the log was read with a hole and is read again"),
      }),
      ports.bus.live.onLive(reading.run, (message) => this.#takeLive(message)),
    );
    stream.onReady(() => this.#pump());
    stream.onClose(() => this.#close());
    this.#pump();
  }

  onRead(): void {
    this.#untold = "telling";
    this.#pump();
  }

  #soon(): void {
    this.#timer ??= this.#clock.setTimeout(() => {
      this.#timer = undefined;
      this.#pump();
    }, GATHER_MS);
  }

  #takeLive(message: LiveMessage & { role: string }): void {
    // A start is in the log's own words soon after.
    if (message.type === "started") return;
    if (this.#live.length >= MAX_LIVE) {
      this.#live.shift();
      this.#dropped += 1;
    }
    this.#live.push(liveView(message));
    this.#soon();
  }

  #pump(): void {
    const { lastSeq } = this.#reading;
    while (this.#seq < lastSeq && this.#stream.ready) this.#sendRecords(lastSeq);
    if (this.#untold === "telling" && this.#stream.ready) {
      this.#untold = undefined;
      this.#stream.send("ready", { seq: this.#seq });
    }
    if (this.#live.length === 0 || !this.#stream.ready) return;
    const event: LiveEvent = { messages: this.#live, dropped: this.#dropped };
    this.#live = [];
    this.#dropped = 0;
    this.#stream.send("live", masked(this.#reading.fold.secrets, event));
  }

  #sendRecords(lastSeq: number): void {
    const reading = this.#reading;
    const from = this.#seq;
    const seqOf = ({ seq }: { seq: number }): number => seq;
    const all = between(reading.transitions, seqOf, from);
    // A record's transitions stay together: the event ends where one ends.
    const last = all[MAX_TRANSITIONS - 1];
    const next = last === undefined ? undefined : all.find(({ seq }) => seq > last.seq);
    const to = next === undefined || last === undefined ? lastSeq : last.seq;
    const event: RecordsEvent = {
      seq: to,
      status: reading.fold.status,
      startedAt: isoTime(reading.fold.startedAt ?? 0),
      endedAt: endOf(reading.fold),
      steps: countsView(reading.fold),
      transitions: between(all, seqOf, from, to).map(transitionView),
      voids: between(reading.voids, seqOf, from, to).map(voidView),
      changes: between(reading.changes, ({ revision }) => revision, from, to).map(changeView),
      graph: between(reading.graphChanges, (seq) => seq, from, to).length > 0,
      graphSeq: graphSeqAt(reading, to),
    };
    this.#seq = to;
    this.#stream.send("records", masked(reading.fold.secrets, event), to);
  }

  #close(): void {
    this.#clock.clearTimeout(this.#timer);
    for (const subscription of this.#subscriptions) subscription.close();
  }
}
