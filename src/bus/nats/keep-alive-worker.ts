/**
 * The keep-alive thread: says `in progress` for the tasks on the board and `here` for a blocked agent, over its own
 * connection, whatever the thread that runs them is doing. Started by `keep-alive.ts`; ends with its process.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { NatsConnection } from "nats";
import type { PresenceStats } from "../bus.ts";
import { type ConnectionSettings, connectTo } from "./connection.ts";
import { KeepAliveRounds, monotonicMs } from "./keep-alive-board.ts";
import { WORKING } from "./receipt.ts";
import { type ServiceWords, StandIn } from "./stand-in.ts";

export interface KeepAliveWorkerData {
  settings: ConnectionSettings;
  memory: SharedArrayBuffer[];
}

/** What the thread is told: another piece of the board, a question whether it reaches the broker, of the agent. */
export type KeepAliveNotice =
  | { board: SharedArrayBuffer }
  | { question: number }
  | { arrived: ServiceWords }
  | { word: PresenceStats }
  | { left: true };

/** What the thread says: which question is answered with yes, or that it wants a word of the agent's own thread. */
export type KeepAliveWord = { reached: number } | { wake: true };

/** A third of the shortest ack-wait that a role may have: how soon a newly held task must be seen. */
const LONGEST_PAUSE_MS = 300;
/** Rounds while the connection is away; the first one after its return makes up for the missed ones. */
const AWAY_PAUSE_MS = 100;

const { settings, memory } = workerData as KeepAliveWorkerData;
const rounds = new KeepAliveRounds();
for (const piece of memory) rounds.add(piece);
let connected = false;
/** The last question whether the broker is reached, and the last one that was answered. */
let asked = 0;
let answered = 0;
let isAnswering = false;
let standIn: StandIn | undefined;
parentPort?.on("message", (notice: KeepAliveNotice) => {
  if ("board" in notice) rounds.add(notice.board);
  else if ("word" in notice) standIn?.heard(notice.word);
  else if ("question" in notice) {
    asked = notice.question;
    void answer();
  } else {
    standIn?.leave();
    standIn = "arrived" in notice ? standInFor(notice.arrived) : undefined;
  }
});

// Tasks may be held before the broker can be reached; the thread waits for it as long as it takes.
const connection = await connectTo(settings, { waitOnFirstConnect: true });
connected = true;
void watchStatus(connection);
connection.subscribe("$SRV.>", {
  callback: (error, { subject, reply }) => {
    if (error !== null || reply === undefined) return;
    standIn?.asked(subject, (text) => connection.publish(reply, text));
  },
});
goRound();

function say(word: KeepAliveWord): void {
  parentPort?.postMessage(word);
}

function standInFor(words: ServiceWords): StandIn {
  return new StandIn(
    words,
    () => say({ wake: true }),
    () => rounds.held(),
  );
}

/** The broker's own answer is what counts; without one, the next round asks it again. */
async function answer(): Promise<void> {
  if (!connected || isAnswering || answered === asked) return;
  isAnswering = true;
  const question = asked;
  const isReached = await connection.flush().then(
    () => true,
    () => false,
  );
  isAnswering = false;
  if (!isReached) return;
  answered = question;
  say({ reached: question });
}

function goRound(): void {
  const now = monotonicMs();
  void answer();
  // What was due while the connection was away stays due: nothing piles up in its buffer meanwhile.
  const nextAt = connected
    ? rounds.go(now, (receipt) => connection.publish(receipt, WORKING))
    : now + AWAY_PAUSE_MS;
  setTimeout(goRound, Math.max(1, Math.min(LONGEST_PAUSE_MS, nextAt - now)));
}

async function watchStatus(watched: NatsConnection): Promise<void> {
  for await (const { type } of watched.status()) {
    if (type === "disconnect") connected = false;
    else if (type === "reconnect") connected = true;
    // Closed for good (the server refused the credentials): the parent takes over by timer.
    else if (type === "close") throw new Error("the keep-alive connection was closed");
  }
}
