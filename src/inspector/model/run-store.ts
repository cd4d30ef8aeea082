/**
 * One run on the page: told from its first record on by one stream, looked at from one place of its log.
 *
 * Owns the history and the cursor. Whatever arrives is gathered and shown once per frame, and less often while
 * the past is still being told: `frame` grows by one each time, and who draws depends on it alone.
 */
import { type Signal, signal } from "@preact/signals";
import type { GraphStep, GraphView, RunHead, Transition } from "../../http/api.ts";
import type { LiveEvent, RecordsEvent } from "../../http/api-events.ts";
import { ApiError, ask, openStream, pathOf, RETRY_MS, type Stream } from "./api-client.ts";
import { RunHistory } from "./run-history.ts";

/** Partial output of one step that is kept. */
const MAX_CHUNKS = 500;
/** What only the daemon can say (what waits, what was spent) is asked again this long after a change. */
const HEAD_DELAY_MS = 400;
/** While the past is told, what has come of it is shown so often: drawing holds up the telling. */
const PAST_FRAME_MS = 500;
/** The slider has to rest so long before the daemon is asked about its moment. */
const PAST_DELAY_MS = 150;

const NONE_RETIRED: readonly number[] = [];
const NO_WAITS: RunHead["waits"] = [];

export interface StepLive {
  fraction: number | undefined;
  message: string | undefined;
  chunks: unknown[];
  n: number;
}

export class RunStore {
  readonly run: string;
  readonly head: Signal<RunHead | undefined> = signal(undefined);
  readonly graph: Signal<GraphView | undefined> = signal(undefined);
  readonly problem: Signal<ApiError | undefined> = signal(undefined);
  /** Whether all that has happened is known; undefined: it is being told for the first time. */
  readonly connected: Signal<boolean | undefined> = signal(undefined);
  /** A sequence of the log; undefined: live. */
  readonly cursor: Signal<number | undefined> = signal(undefined);
  /** The run as the daemon knows it was at the cursor, once that has rested. */
  readonly past: Signal<{ cursor: number; head: RunHead } | undefined> = signal(undefined);
  readonly frame = signal(0);
  history = new RunHistory();
  readonly live = new Map<string, StepLive>();
  /** Transitions of the last frame, for what moves along the edges. */
  recent: readonly Transition[] = [];
  readonly #abort = new AbortController();
  #steps = new Map<string, GraphStep>();
  #retired: { graph: GraphView | undefined; known: number; places: readonly number[] } = {
    graph: undefined,
    known: 0,
    places: NONE_RETIRED,
  };
  #stream: Stream | undefined;
  /** The log's sequence up to which the graph has all changes, and that of the last one that was told. */
  #graphSeq = 0;
  #changedSeq = 0;
  #frameAsked: { cancel: () => void } | undefined;
  #headTimer: ReturnType<typeof setTimeout> | undefined;
  #pastTimer: ReturnType<typeof setTimeout> | undefined;
  #loadTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(run: string) {
    this.run = run;
  }

  async load(): Promise<void> {
    clearTimeout(this.#loadTimer);
    try {
      const { signal: aborted } = this.#abort;
      const outlined = ask<GraphView>(pathOf("runs", this.run, "outline"), aborted).then((outline) => {
        // Laid out and drawn while the daemon still reads what became of the steps, and tells it meanwhile.
        this.history = new RunHistory();
        this.#takeGraph(outline);
        this.problem.value = undefined;
        this.connected.value = undefined;
        this.#follow();
      });
      const [head] = await Promise.all([ask<RunHead>(pathOf("runs", this.run, "head"), aborted), outlined]);
      this.head.value = head;
      this.#soon();
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      const problem = asApiError(error);
      this.problem.value = problem;
      if (problem.mayPass) this.#loadTimer = setTimeout(() => void this.load(), RETRY_MS);
    }
  }

  /** Of a question in passing: one that may be answered later is asked again when the stream is back. */
  #fail(error: unknown): void {
    const problem = asApiError(error);
    if (!this.#abort.signal.aborted && !problem.mayPass) this.problem.value = problem;
  }

  close(): void {
    this.#abort.abort();
    this.#stream?.close();
    clearTimeout(this.#headTimer);
    clearTimeout(this.#pastTimer);
    clearTimeout(this.#loadTimer);
    this.#frameAsked?.cancel();
  }

  /** What waits for somebody outside, at the moment that is looked at. */
  get waits(): RunHead["waits"] {
    const cursor = this.cursor.value;
    if (cursor === undefined) return this.head.value?.waits ?? NO_WAITS;
    return this.pastHead?.waits ?? NO_WAITS;
  }

  /** The run as it was at the moment that is looked at; undefined: not known yet, or the moment is now. */
  get pastHead(): RunHead | undefined {
    return this.past.value?.cursor === this.cursor.value ? this.past.value?.head : undefined;
  }

  /** The step of the document, or of the item's origin. */
  step(id: string): GraphStep | undefined {
    return this.#steps.get(id) ?? this.#steps.get(id.split("~")[0] ?? "");
  }

  seek(seq: number | undefined): void {
    this.cursor.value = seq !== undefined && seq >= this.history.lastSeq ? undefined : seq;
    this.recent = this.history.seek(this.cursor.peek());
    this.frame.value += 1;
    this.#askPast();
  }

  /** What waits is no transition: only the daemon knows it of a moment. */
  #askPast(): void {
    clearTimeout(this.#pastTimer);
    const cursor = this.cursor.peek();
    if (cursor === undefined) return;
    this.#pastTimer = setTimeout(async () => {
      try {
        const path = `${pathOf("runs", this.run, "head")}?at=${cursor}`;
        this.past.value = { cursor, head: await ask<RunHead>(path, this.#abort.signal) };
      } catch (error) {
        this.#fail(error);
      }
    }, PAST_DELAY_MS);
  }

  /** The sequence that is looked at. */
  get seq(): number {
    return this.cursor.value ?? this.history.lastSeq;
  }

  /**
   * Steps that the plan left out after they had begun, as places in the history: they happened, and nothing is
   * missing of them.
   */
  get retired(): readonly number[] {
    const { ids } = this.history;
    const graph = this.graph.value;
    if (graph === undefined || graph.steps.length === 0) return NONE_RETIRED;
    if (this.#retired.graph !== graph || this.#retired.known !== ids.length) {
      const places = ids.flatMap((id, place) => (this.step(id) === undefined ? [place] : []));
      this.#retired = { graph, known: ids.length, places };
    }
    return this.#retired.places;
  }

  #takeGraph(graph: GraphView): void {
    this.#steps = new Map(graph.steps.map((step) => [step.id, step]));
    this.history.addSteps(this.#steps.keys());
    this.#graphSeq = graph.seq;
    this.graph.value = graph;
  }

  #follow(): void {
    let last = 0;
    this.#stream?.close();
    this.#stream = openStream(
      () => `${pathOf("runs", this.run, "events")}?after=${last}`,
      {
        records: (data) => {
          const event = data as RecordsEvent;
          last = event.seq;
          this.#takeRecords(event);
        },
        live: (data) => this.#takeLive(data as LiveEvent),
        ready: () => this.#takeReady(),
        cut: (data) => {
          if ((data as { code: string }).code === "E_LOG_REREAD") void this.load();
        },
      },
      (connected) => {
        // Only the end of the telling says that all is known; before the first one nothing was lost.
        if (!connected && this.connected.peek()) this.connected.value = false;
      },
    );
  }

  #takeReady(): void {
    const isFirst = this.connected.peek() === undefined;
    this.connected.value = true;
    this.#askPast();
    if (!isFirst) {
      // What was asked while nobody answered.
      if (this.#changedSeq > this.#graphSeq) void this.#reloadGraph();
      this.#reloadHeadSoon();
      return;
    }
    this.#frameAsked?.cancel();
    this.#frameAsked = undefined;
    this.#show();
    // What moved before anybody looked does not move again.
    this.recent = [];
  }

  #takeRecords(event: RecordsEvent): void {
    this.history.add(event.transitions, event.voids, event.changes);
    const head = this.head.peek();
    const { status, endedAt, steps, seq } = event;
    if (head !== undefined && head.seq <= seq) this.head.value = { ...head, status, endedAt, steps, seq };
    this.#changedSeq = event.graphSeq;
    if (event.graphSeq > this.#graphSeq) void this.#reloadGraph();
    if (this.connected.peek() !== undefined) this.#reloadHeadSoon();
    this.#soon();
  }

  async #reloadGraph(): Promise<void> {
    const before = this.#graphSeq;
    this.#graphSeq = this.#changedSeq;
    try {
      this.#takeGraph(await ask<GraphView>(pathOf("runs", this.run, "graph"), this.#abort.signal));
      this.#soon();
    } catch (error) {
      this.#graphSeq = before;
      this.#fail(error);
    }
  }

  #reloadHeadSoon(): void {
    this.#headTimer ??= setTimeout(async () => {
      this.#headTimer = undefined;
      try {
        this.head.value = await ask<RunHead>(pathOf("runs", this.run, "head"), this.#abort.signal);
      } catch (error) {
        this.#fail(error);
      }
    }, HEAD_DELAY_MS);
  }

  #takeLive({ messages }: LiveEvent): void {
    for (const { step, n, type, fraction, message, data } of messages) {
      let live = this.live.get(step);
      if (live === undefined || live.n !== n) {
        live = { fraction: undefined, message: undefined, chunks: [], n };
        this.live.set(step, live);
      }
      if (type === "chunk") {
        live.chunks.push(data);
        if (live.chunks.length > MAX_CHUNKS) live.chunks.shift();
      } else {
        live.fraction = fraction ?? live.fraction;
        live.message = message ?? live.message;
      }
    }
    this.#soon();
  }

  /** Shows what has come, once, at the next frame. */
  #soon(): void {
    if (this.#frameAsked !== undefined) return;
    const show = (): void => {
      this.#frameAsked = undefined;
      this.#show();
    };
    if (this.connected.peek() === undefined) {
      const timer = setTimeout(show, PAST_FRAME_MS);
      this.#frameAsked = { cancel: () => clearTimeout(timer) };
    } else {
      const frame = requestAnimationFrame(show);
      this.#frameAsked = { cancel: () => cancelAnimationFrame(frame) };
    }
  }

  #show(): void {
    const moved = this.history.seek(this.cursor.peek());
    this.recent = this.connected.peek() ? moved : [];
    this.frame.value += 1;
  }
}

export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError({
    type: "about:blank",
    title: "No answer",
    status: 0,
    detail: "the daemon does not answer",
    code: "E_NO_ANSWER",
    remedy: "Check that `datahammer up` runs; the page goes on by itself when it does.",
  });
}
