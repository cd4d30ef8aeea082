/** The runtime's first process: a daemon as `datahammer up` starts it, on the benchmark's broker. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { pino } from "pino";
import { type Daemon, startDaemon } from "../src/daemon/daemon.ts";
import { RunFold } from "../src/fold/run-fold.ts";
import { serveParent } from "./child-process.ts";

/** As pino numbers its levels. */
const WARN = 40;

let daemon: Daemon | undefined;
/** How long the log of each claimed run took to be read, as the daemon's own log tells. */
const replays = new Map<string, number>();
const waiting = new Map<string, (replayMs: number) => void>();

async function start({ url, token, swarm }: { url: string; token: string; swarm: string }): Promise<void> {
  daemon = await startDaemon({
    swarm,
    store: "",
    nats: { url, token },
    env: process.env,
    log: pino({ level: "info" }, { write: hear }),
    product: "bench",
  });
}

function hear(text: string): void {
  const { level, msg, run, replayMs } = JSON.parse(text) as Record<string, unknown>;
  if (typeof level === "number" && level >= WARN) process.stderr.write(text);
  if (msg !== "run claimed" || typeof run !== "string" || typeof replayMs !== "number") return;
  // The benchmark asks about long logs only; those of thousands of short ones would be its own leak.
  if (!run.startsWith("steps-")) return;
  replays.set(run, replayMs);
  waiting.get(run)?.(replayMs);
}

function claimed(run: string): Promise<number> {
  return new Promise((resolve) => {
    const replayMs = replays.get(run);
    if (replayMs === undefined) waiting.set(run, resolve);
    else resolve(replayMs);
  });
}

async function replay(run: string): Promise<{ records: number; ms: number; cpuMs: number }> {
  const fold = new RunFold(run);
  const began = performance.now();
  const cpu = process.cpuUsage();
  let records = 0;
  for await (const record of running().bus.log.read(run)) {
    fold.apply(record);
    records++;
  }
  const { user, system } = process.cpuUsage(cpu);
  return { records, ms: performance.now() - began, cpuMs: (user + system) / 1_000 };
}

async function cancel(run: string): Promise<void> {
  const body = { v: 1, verb: "cancel", by: "bench" } as const;
  await running().bus.log.append(run, { kind: "control", body });
}

/** Bytes in use after everything that can be collected was. */
function liveHeap(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}

function running(): Daemon {
  if (daemon === undefined) throw new Error("the daemon was not started");
  return daemon;
}

serveParent({ start, claimed, replay, cancel, liveHeap }, async () => daemon?.stop());
