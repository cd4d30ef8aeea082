/**
 * Keeping held tasks in progress from a thread of its own, so that a task which blocks its event loop
 * beyond the ack-wait is not given to another agent meanwhile (B4), nor its agent taken for gone.
 *
 * Owns the thread and the board that both sides share. Should the thread fail, the same rounds are made
 * by a timer on this event loop, and a process warning says so: tasks that block the loop are then no
 * longer kept, all others are.
 */
import { Worker } from "node:worker_threads";
import type { KeepAlive, PresenceStats } from "../bus.ts";
import type { ConnectionSettings } from "./connection.ts";
import { KeepAliveBoard, KeepAliveRounds, monotonicMs } from "./keep-alive-board.ts";
import type { KeepAliveNotice, KeepAliveWord, KeepAliveWorkerData } from "./keep-alive-worker.ts";
import { WORKING } from "./receipt.ts";
import type { ServiceWords } from "./stand-in.ts";

const FALLBACK_PAUSE_MS = 250;
/** The thread holds a connection and a few receipts; more memory than this would be a fault. */
const MAX_HEAP_MB = 64;

export interface NatsKeepAlive extends KeepAlive {
  /**
   * Has the thread answer who is here while this event loop is blocked.
   * @returns for when the agent leaves
   */
  standInFor(words: ServiceWords, stats: () => PresenceStats): () => void;
}

/** @param send says something to a receipt over the bus's own connection, should the thread fail */
export function startKeepAlive(
  settings: ConnectionSettings,
  send: (receipt: string, word: string) => void,
): NatsKeepAlive {
  const tell = (notice: KeepAliveNotice): void => worker.postMessage(notice);
  const board = new KeepAliveBoard((memory) => tell({ board: memory }));
  const worker = startWorker({
    settings: { ...settings, name: `${settings.name} keep-alive` },
    memory: board.memory,
  });
  let closed = false;
  let fallback: NodeJS.Timeout | undefined;
  let agentStats: (() => PresenceStats) | undefined;
  let questions = 0;
  const waiting = new Map<number, () => void>();

  /** The thread answers the last of several questions. */
  const answer = (question: number) => {
    for (const [asked, resolve] of waiting) {
      if (asked > question) return;
      waiting.delete(asked);
      resolve();
    }
  };

  const fallBack = (reason: unknown) => {
    if (closed || fallback !== undefined) return;
    process.emitWarning(
      `The keep-alive thread ended (${reason instanceof Error ? reason.message : String(reason)}); tasks that ` +
        "block the event loop for longer than their ack-wait may now be given to another agent as well.",
      { code: "DATAHAMMER_KEEP_ALIVE" },
    );
    answer(questions);
    const rounds = new KeepAliveRounds();
    let known = 0;
    fallback = setInterval(() => {
      for (const piece of board.memory.slice(known)) rounds.add(piece);
      known = board.memory.length;
      rounds.go(monotonicMs(), (receipt) => send(receipt, WORKING));
    }, FALLBACK_PAUSE_MS);
    fallback.unref();
  };
  // Neither the thread nor its timer may keep a finished process alive.
  worker.unref();
  worker.on("message", (word: KeepAliveWord) => {
    if ("reached" in word) answer(word.reached);
    else if (agentStats !== undefined) tell({ word: agentStats() });
  });
  worker.on("error", fallBack);
  worker.on("exit", (code) => fallBack(`exit code ${code}`));

  return {
    hold({ receipt }, { ackWaitMs, forMs }) {
      const now = monotonicMs();
      board.put(receipt, ackWaitMs / 3, forMs === undefined ? Number.POSITIVE_INFINITY : now + forMs, now);
    },
    release: ({ receipt }) => board.remove(receipt),
    reached() {
      if (closed || fallback !== undefined) return Promise.resolve();
      const question = ++questions;
      tell({ question });
      return new Promise((resolve) => waiting.set(question, resolve));
    },
    standInFor(words, stats) {
      agentStats = stats;
      tell({ arrived: words });
      return () => {
        agentStats = undefined;
        tell({ left: true });
      };
    },
    close() {
      if (closed) return;
      closed = true;
      answer(questions);
      clearInterval(fallback);
      void worker.terminate();
    },
  };
}

/** As built, the thread's file is JavaScript; run from the sources, it needs the same loader as this one. */
function startWorker(workerData: KeepAliveWorkerData): Worker {
  const options = { workerData, execArgv: [], resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB } };
  if (!import.meta.url.endsWith(".ts")) {
    return new Worker(new URL("./keep-alive-worker.js", import.meta.url), options);
  }
  const loader = import.meta.resolve("tsx/esm/api");
  const file = new URL("./keep-alive-worker.ts", import.meta.url).href;
  const start = `import(${JSON.stringify(loader)}).then(({ register }) => { register(); return import(${JSON.stringify(file)}); })`;
  return new Worker(start, { ...options, eval: true });
}
