/** `agent FILE…`: serves the agents that files export, as this process. */
import { hostname } from "node:os";
import { resolve } from "node:path";
import { serveAgent } from "../../agent/host.ts";
import { loadAgentFiles } from "../../agent/load.ts";
import { UnreachableError } from "../../workflow/errors.ts";
import { type AgentProcessMessage, PARENT_GONE } from "../agent-processes.ts";
import { connectBus, endpointOf } from "../connection.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { concurrencyFlag } from "../given-file.ts";
import type { Command, Invocation } from "../invocation.ts";
import { errorView } from "../output.ts";
import { productVersion } from "../product-version.ts";
import type { Shell } from "../shell.ts";

/** Without a daemon nobody makes the roles' queues; the person is told after this long. */
const PATIENCE_MS = 5_000;
/** Agents are started beside their daemon, and brought back beside it: so long it may be on its way. */
const DAEMON_ABSENT_MS = 15_000;

/** Of an agent whose parent stops: below the time after which the parent kills it. */
const SUPERVISED_DRAIN_MS = 5_000;
const ORPHAN_DRAIN_MS = 500;

export interface AgentFlags {
  files: string[];
  concurrency?: string;
}

export const agent: Command<AgentFlags> = async (call, flags) => {
  try {
    return await serve(call, flags);
  } catch (error) {
    // The parent tells the person; the same error twice would only confuse.
    if (call.shell.tellParent === undefined) throw error;
    call.shell.tellParent({ event: "error", error: errorView(error) } satisfies AgentProcessMessage);
    return EXIT.failed;
  }
};

async function serve(call: Invocation, flags: AgentFlags): Promise<ExitCode> {
  const { shell, output, settings } = call;
  const concurrency = flags.concurrency === undefined ? undefined : concurrencyFlag(flags.concurrency);
  // Loading agent files sends every later import through Node's hooks, on another thread: what this process and
  // its agents need of us is here before.
  await Promise.all([import("../../index.ts"), import("../../bus/nats/bus.ts")]);
  // Before connecting: a file that cannot be loaded is the commoner mistake, and needs no broker to be told.
  const definitions = await loadAgentFiles(flags.files.map((file) => resolve(shell.cwd, file)));
  const roles = definitions.map(({ role }) => role);
  const id = agentId(roles[0] ?? "agent", shell.random);
  const { startTelemetry } = await import("../../agent/telemetry.ts");
  const stopTelemetry = await startTelemetry(shell.env, `datahammer ${roles.join(" ")}`);
  const tellWaiting = () =>
    output.notice(`waiting for a daemon of swarm ${settings.swarm} (start one with \`datahammer up\`)`);
  let patience = shell.clock.setTimeout(tellWaiting, PATIENCE_MS);
  const endpoint = await endpointOf(call, DAEMON_ABSENT_MS).finally(() => shell.clock.clearTimeout(patience));
  const bus = await connectBus(call, endpoint, id, `_INBOX_${id}`);
  try {
    const running = await serveAgent(definitions, {
      bus,
      clock: shell.clock,
      log: call.log("info"),
      id,
      about: { pid: process.pid, host: hostname(), version: productVersion() },
      ...(concurrency === undefined ? {} : { concurrency }),
    });
    const interrupted = new Promise<"interrupted">((resolveInterrupt) => {
      const interrupt = () => resolveInterrupt("interrupted");
      shell.interrupted.addEventListener("abort", interrupt, { once: true });
      if (shell.interrupted.aborted) interrupt();
    });
    const ended = running.ended.then(() => "ended" as const);
    patience = shell.clock.setTimeout(tellWaiting, PATIENCE_MS);
    const first = await Promise.race([running.joined.then(() => "joined" as const), interrupted, ended]);
    shell.clock.clearTimeout(patience);
    if (first === "joined") announce(call, roles, id);
    const last = await Promise.race([interrupted, ended]);
    if (last === "ended") throw connectionClosed();
    await running.drain(drainMs(shell));
  } finally {
    await bus.close();
    await stopTelemetry?.().catch((error: unknown) =>
      call.log("info").warn({ err: error }, "spans were not sent"),
    );
  }
  return shell.interrupted.reason === "SIGINT" ? EXIT.interrupted : EXIT.done;
}

/** By hand there is time; a parent that stops waits a while; one that died took the broker along. */
function drainMs({ interrupted, tellParent }: Shell): number | undefined {
  if (interrupted.reason === PARENT_GONE) return ORPHAN_DRAIN_MS;
  return tellParent === undefined ? undefined : SUPERVISED_DRAIN_MS;
}

function announce({ output, shell }: Invocation, roles: readonly string[], id: string): void {
  const agents = roles.map((role) => ({ role, id }));
  const ready = { event: "ready", agents, pid: process.pid } satisfies AgentProcessMessage;
  if (shell.tellParent !== undefined) return shell.tellParent(ready);
  output.line(ready, () => {
    return `agent ${id} serves ${roles.join(", ")} (process ${process.pid}); Ctrl-C ends it`;
  });
}

const LETTERS = "abcdefghjkmnpqrstuvwxyz23456789";

/** `<role>-<pid>-<four letters>`: readable, and not met again when a process number is used again. */
function agentId(role: string, random: () => number): string {
  let suffix = "";
  for (let index = 0; index < 4; index++) suffix += LETTERS[Math.floor(random() * LETTERS.length)];
  return `${role}-${process.pid}-${suffix}`;
}

function connectionClosed(): UnreachableError {
  return new UnreachableError("E_CLOSED", "the connection to the broker was closed", {
    remedy: "Start the agent again when the broker is back.",
  });
}
