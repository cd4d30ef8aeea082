/**
 * The swarm daemon: a broker of its own or somebody else's, and an orchestrator agent on it.
 *
 * This is the composition root: the only place where adapters, actors and processes are put together. It
 * owns their order of starting and stopping, and the queues of roles that announce themselves. It holds no
 * state of its own: killed at any moment, the next start on the same store goes on (L1, L5). What only some daemons
 * need (pages, spans, retention, a model) is loaded by those alone: loading is most of what a start costs.
 */
import { hostname } from "node:os";
import type { Logger } from "pino";
import { OrchestratorAgent } from "../actors/orchestrator-agent.ts";
import { SwarmPlanning } from "../actors/swarm-planning.ts";
import type { Bus } from "../bus/bus.ts";
import type { HelloMessage, HelloReply } from "../bus/messages.ts";
import { connectNatsBus } from "../bus/nats/bus.ts";
import { randomId } from "../bus/random-id.ts";
import { systemClock } from "../bus/system-clock.ts";
import type { HttpServer, PlainAnswer } from "../http/http-server.ts";
import { DataHammerError } from "../workflow/errors.ts";
import { assertServable } from "../workflow/reserved-roles.ts";
import type { ModelSettings } from "./advisor.ts";
import type { Environment } from "./broker/locate.ts";
import { type ManagedBroker, startManagedBroker } from "./broker/managed-broker.ts";
import { careForQueues } from "./queue-care.ts";
import { watchReadiness } from "./readiness.ts";
import type { RetentionOptions } from "./retention.ts";
import { spanTarget } from "./span-target.ts";

/** How long a starting daemon waits for others that are busy. */
const OTHERS_ANSWER_MS = 500;

export interface DaemonOptions {
  swarm: string;
  /** Folder of the managed broker's store; used when no `nats` is given. */
  store: string;
  env: Environment;
  log: Logger;
  /** Version of DataHammer. */
  product: string;
  /** A broker that somebody else runs; without it the daemon manages its own. */
  nats?: { url: string; token?: string; creds?: string };
  /** `HOST:PORT` for health checks, the API and the inspector page; default: none. */
  http?: string;
  /** Asked of whoever uses the API; without it only this machine is answered. */
  httpToken?: string;
  fsync?: "always" | "interval";
  /** Finished runs older than this are removed. Default: all are kept for ever. */
  retention?: RetentionOptions;
  /** Runs that this daemon holds at once. */
  maxRuns?: number;
  /** A run whose daemon is silent for so long goes to another; kept by the swarm. Default: as it is, at first 10 s. */
  ackWaitMs?: number;
  /** A role that nobody serves for so long is planned round, in planned runs. Default 10 s. */
  roleAbsenceMs?: number;
  /** Copies of everything stored, in a cluster. Default: as many as there are, at first 1. */
  replicas?: number;
  /** A language model that proposes plans of goals in words. Default: none. */
  model?: ModelSettings;
  /** Lines for the person who waits, such as what is being fetched. */
  notice?: (line: string) => void;
  /** Gives the start up, and nothing is left behind; later it says that the daemon will be stopped. */
  signal?: AbortSignal;
}

export interface Daemon {
  /** Names this daemon in claims. */
  readonly id: string;
  readonly swarm: string;
  readonly nats: { url: string; token?: string; creds?: string };
  readonly http: string | undefined;
  /** Of the managed broker. */
  readonly brokerPid: number | undefined;
  readonly bus: Bus;
  /** Resolves when the daemon has stopped: undefined after `stop`, else what ended it. */
  readonly ended: Promise<DataHammerError | undefined>;
  /** Hands held runs back, closes everything, stops the managed broker. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Resolves once runs are taken and agents are answered.
 * @throws InvalidInputError `E_STORE_LOCKED`, `E_STORE_VERSION`, `E_PORT_IN_USE`, …
 * @throws UnreachableError `E_NO_NATS_SERVER`, `E_BROKER_START`, or the named broker does not answer
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const undo: (() => Promise<void>)[] = [];
  const stopAll = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return await assemble(options, undo, stopAll);
  } catch (error) {
    await stopAll();
    throw error;
  }
}

async function assemble(
  options: DaemonOptions,
  undo: (() => Promise<void>)[],
  stopAll: () => Promise<void>,
): Promise<Daemon> {
  const { swarm, log } = options;
  const id = `daemon-${hostname()
    .replace(/[^A-Za-z0-9_-]/g, "-")
    .slice(0, 24)}-${process.pid}-${randomId().slice(0, 6)}`;
  let broker: ManagedBroker | undefined;
  if (!options.nats) {
    broker = await startManagedBroker(options);
    undo.push(broker.stop.bind(broker));
  }
  const nats = options.nats ?? (broker as ManagedBroker);
  const target = {
    url: nats.url,
    ...(nats.token === undefined ? {} : { token: nats.token }),
    ...(options.nats?.creds === undefined ? {} : { creds: options.nats.creds }),
  };

  const { ackWaitMs: runAckWaitMs, replicas } = options;
  const bus = await connectNatsBus({
    ...target,
    swarm,
    name: id,
    provision: true,
    ...(runAckWaitMs === undefined ? {} : { runAckWaitMs }),
    ...(replicas === undefined ? {} : { replicas }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  undo.push(() => bus.close());
  // What the rest of the start waits for is the bus.
  const giveUp = (): void => void bus.close();
  options.signal?.addEventListener("abort", giveUp);
  undo.push(async () => options.signal?.removeEventListener("abort", giveUp));
  options.signal?.throwIfAborted();
  const statusWatch = bus.onStatus((status, reason) => log.warn({ status, reason }, "broker connection"));

  // Where no other daemon answers, those that held the runs are gone or hang: nobody has to wait for the ack-wait.
  if (!(await isAttended(bus, id))) await bus.runs.reclaim();
  const readiness = watchReadiness({ bus, clock: systemClock, log, store: options.store, broker });
  undo.push(async () => readiness.stop());
  const queues = careForQueues({ bus, clock: systemClock, log });
  undo.push(async () => queues.stop());
  const problemNow = (): string | undefined => readiness.problem ?? queues.problem;
  const hello = bus.live.onHello(async (message) => {
    const problem = problemNow();
    return { ...(await admit(bus, log, message)), ...(problem === undefined ? {} : { problem }) };
  });
  // Whoever serves no pages spends nothing on counting.
  const pages = options.http === undefined ? undefined : await loadPages();
  const metrics =
    pages &&
    new pages.SwarmMetrics({
      bus,
      clock: systemClock,
      swarm,
      version: options.product,
      held: () => orchestrator.statuses,
    });
  undo.push(async () => metrics?.stop());
  const collector = spanTarget(options.env);
  const sending = collector && (await import("./span-export.ts"));
  const spans = sending && new sending.SpanExport(bus.log, systemClock, log, collector);
  undo.push(async () => spans?.stop());
  const observer = spans === undefined ? metrics : sending?.withSpans(spans, metrics);
  const asking = new AbortController();
  undo.push(async () => asking.abort());
  const { model } = options;
  const advisor = model && (await import("./advisor.ts")).makeAdvisor(model, systemClock, asking.signal);
  const orchestrator: OrchestratorAgent = new OrchestratorAgent({
    bus,
    clock: systemClock,
    log,
    planning: new SwarmPlanning(bus, systemClock, log, options.roleAbsenceMs, advisor),
    id,
    newId: randomId,
    ...(options.maxRuns === undefined ? {} : { maxRuns: options.maxRuns }),
    ...(observer === undefined ? {} : { observer }),
    traced: spans !== undefined,
  });
  orchestrator.start();
  let http: HttpServer | undefined;
  let stopping: Promise<void> | undefined;
  // From the signal on: agents that are ended before the daemon are part of it.
  const draining = (): boolean => stopping !== undefined || options.signal?.aborted === true;
  // Still there while runs are handed over, so that a probe hears of it.
  undo.push(async () => http?.close());
  undo.push(() => orchestrator.stop());
  const arrivals = await bus.runs.serveArrivals();
  undo.push(() => arrivals.stop());
  if (options.retention !== undefined) {
    const { startRetention } = await import("./retention.ts");
    const retention = startRetention(bus, systemClock, log, options.retention);
    undo.push(() => retention.stop());
  }
  if (pages !== undefined && options.http !== undefined) {
    http = await pages.serveSwarm({
      address: options.http,
      token: options.httpToken,
      bus,
      clock: systemClock,
      log,
      daemon: { id, version: options.product },
      plain: {
        "/healthz": () => jsonAnswer(200, { status: "ok" }),
        "/readyz": () => {
          const problem = problemNow();
          const ready = problem === undefined && !draining();
          const reason = draining() ? "draining: runs are handed over" : (problem ?? "broker connected");
          const details = { swarm, runs: orchestrator.runs.length, unreadable: bus.unreadableCount() };
          return jsonAnswer(ready ? 200 : 503, { ready, reason, ...details });
        },
        "/metrics": async () => {
          const text = (await metrics?.text()) ?? "";
          return { status: 200, type: metrics?.contentType ?? "text/plain", text };
        },
      },
    });
  }

  let settle: (reason: DataHammerError | undefined) => void = () => {};
  const ended = new Promise<DataHammerError | undefined>((resolve) => {
    settle = resolve;
  });
  const stop = (reason?: DataHammerError): Promise<void> => {
    stopping ??= (async () => {
      statusWatch.close();
      hello.close();
      await stopAll();
      settle(reason);
    })();
    return stopping;
  };
  options.signal?.removeEventListener("abort", giveUp);
  broker?.onExit((event) => {
    if (event.kind === "failed") void stop(event.error);
  });
  log.info({ swarm, nats: target.url, http: http?.url }, "daemon ready");
  return {
    id,
    swarm,
    nats: target,
    http: http?.url,
    get brokerPid() {
      return broker?.pid;
    },
    bus,
    ended,
    stop: () => stop(),
  };
}

async function loadPages() {
  const [{ SwarmMetrics }, { serveSwarm }] = await Promise.all([
    import("./metrics.ts"),
    import("../http/swarm-http.ts"),
  ]);
  return { SwarmMetrics, serveSwarm };
}

/** Whether another daemon answers on this swarm. */
async function isAttended(bus: Bus, id: string): Promise<boolean> {
  return (await bus.live.hello({ v: 1, id, roles: [] }, OTHERS_ANSWER_MS)) !== undefined;
}

function jsonAnswer(status: number, body: Record<string, unknown>): PlainAnswer {
  return { status, type: "application/json", text: `${JSON.stringify(body)}\n` };
}

/** Makes the queues of the roles that an agent process announces. */
async function admit(bus: Bus, log: Logger, message: HelloMessage): Promise<HelloReply> {
  try {
    const { encoding } = message;
    for (const { role } of message.roles) assertServable(role);
    const roles = await Promise.all(
      message.roles.map(({ role }) =>
        bus.tasks.ensureRole(encoding === undefined ? { role } : { role, encoding }),
      ),
    );
    // Another daemon says hello, too, and serves no role.
    if (roles.length > 0)
      log.info({ agent: message.id, roles: roles.map(({ role }) => role) }, "agent joined");
    return { ok: true, roles };
  } catch (error) {
    const cause = error instanceof DataHammerError ? error : new DataHammerError("E_ROLE", String(error));
    log.warn({ agent: message.id, err: cause }, "agent could not be admitted");
    return { ok: false, roles: [], error: cause.message };
  }
}
