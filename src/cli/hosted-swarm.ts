/**
 * A swarm for one command: the one that is there, or one that lives and dies with the command.
 *
 * Owns what it started (daemon, managed broker, agent processes) and ends it in the opposite order; what was
 * there before it leaves alone.
 */
import type { Logger } from "pino";
import type { Bus } from "../bus/bus.ts";
import type { SwarmClient } from "../client/swarm.ts";
import { type Daemon, type DaemonOptions, startDaemon } from "../daemon/daemon.ts";
import { AgentProcesses } from "./agent-processes.ts";
import { clientOn, connectBus, type Endpoint, findEndpoint } from "./connection.ts";
import type { DaemonSettings } from "./daemon-settings.ts";
import type { Invocation } from "./invocation.ts";
import { productVersion } from "./product-version.ts";
import type { Settings } from "./settings.ts";

export interface HostedSwarm {
  readonly client: SwarmClient;
  readonly endpoint: Endpoint;
  /** The daemon, if this command started it. */
  readonly daemon: Daemon | undefined;
  readonly agents: AgentProcesses | undefined;
  stop(): Promise<void>;
}

export interface HostOptions {
  /** Agent files, each to be served by a process of its own. */
  agents: readonly string[];
  concurrency?: number | undefined;
}

/** The daemon of these settings, in this process. */
export async function hostDaemon(
  call: Invocation,
  endpoint: Endpoint | undefined,
  log: Logger,
): Promise<Daemon> {
  const { settings, shell, output } = call;
  return startDaemon({
    swarm: settings.swarm,
    store: settings.store,
    env: shell.env,
    log,
    product: productVersion(),
    notice: (line) => output.notice(line),
    signal: shell.interrupted,
    ...(endpoint === undefined ? {} : { nats: endpoint }),
    ...(settings.http === undefined ? {} : { http: settings.http }),
    ...(settings.httpToken === undefined ? {} : { httpToken: settings.httpToken }),
    ...(settings.model === undefined ? {} : { model: settings.model }),
    ...withoutGaps(settings.daemon),
    ...retentionOf(settings),
  });
}

function retentionOf({ keepMs, archiveTo }: Settings): Pick<DaemonOptions, "retention"> {
  if (keepMs === undefined) return {};
  return { retention: { keepMs, ...(archiveTo === undefined ? {} : { archiveTo }) } };
}

/** A setting that was not given is the daemon's own. */
function withoutGaps(given: DaemonSettings): {
  [Key in keyof DaemonSettings]?: NonNullable<DaemonSettings[Key]>;
} {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Joins the swarm of the settings, starting a daemon where none answers, and starts the agents. */
export async function hostSwarm(call: Invocation, options: HostOptions): Promise<HostedSwarm> {
  const undo: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const act of undo.splice(0).reverse()) await act();
  };
  try {
    const { bus, endpoint, daemon } = await reachSwarm(call, undo);
    const client = await clientOn(bus, call);
    let agents: AgentProcesses | undefined;
    if (options.agents.length > 0) {
      const { concurrency } = options;
      // What becomes of its tasks is told by whoever watches the run.
      const told = { logLevel: "error" } as const;
      agents = await AgentProcesses.start(call, { files: options.agents, endpoint, concurrency, ...told });
      undo.push(() => (agents as AgentProcesses).stop());
    }
    return { client, endpoint, daemon, agents, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function reachSwarm(
  call: Invocation,
  undo: (() => Promise<void>)[],
): Promise<{ bus: Bus; endpoint: Endpoint; daemon: Daemon | undefined }> {
  const found = await findEndpoint(call);
  if (found !== undefined) {
    const bus = await connectBus(call, found, "datahammer-cli");
    undo.push(() => bus.close());
    // On a store the lock tells that its daemon lives; a named broker may have none yet.
    if (isManaged(call.settings) || (await (await clientOn(bus, call)).hasDaemon())) {
      return { bus, endpoint: found, daemon: undefined };
    }
  }
  const daemon = await hostDaemon(call, found, call.log("warn"));
  undo.push(() => daemon.stop());
  return { bus: daemon.bus, endpoint: daemon.nats, daemon };
}

/** Says where a run can be looked at, when this command serves the inspector. */
export function tellWhereToLook({ output }: Invocation, { daemon }: HostedSwarm, run: string): void {
  if (daemon?.http !== undefined) output.notice(`look inside: ${daemon.http}/runs/${run}`);
}

const isManaged = (settings: Settings): boolean => settings.nats === undefined;
