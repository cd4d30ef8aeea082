/** The runtime's first process: a daemon as `datahammer up` starts it, on the benchmark's broker. */
import { pino } from "pino";
import { type Daemon, startDaemon } from "../src/daemon/daemon.ts";
import { serveParent } from "./child-process.ts";

let daemon: Daemon | undefined;

async function start({ url, token, swarm }: { url: string; token: string; swarm: string }): Promise<void> {
  daemon = await startDaemon({
    swarm,
    store: "",
    nats: { url, token },
    env: process.env,
    log: pino({ level: "warn" }, process.stderr),
    product: "bench",
  });
}

serveParent({ start }, async () => daemon?.stop());
