/** Finding the broker that a command is about, and talking to the swarm on it. */
import { resolve } from "node:path";
import type { Bus, Clock } from "../bus/bus.ts";
import type { SwarmClient } from "../client/swarm.ts";
import { readBrokerFile } from "../daemon/broker/broker-file.ts";
import { UnreachableError } from "../workflow/errors.ts";
import type { Invocation } from "./invocation.ts";
import type { Settings } from "./settings.ts";

export interface Endpoint {
  readonly url: string;
  readonly token?: string;
  /** Text of a credentials file. */
  readonly creds?: string;
}

/** A daemon that is there is waited for until its broker is (again), for so long. */
const STARTING_MS = 10_000;
const LOOK_AGAIN_MS = 100;

/**
 * The broker that the settings name, else the one of the daemon on the store.
 *
 * @param absentMs how long a daemon that is not there (yet, or not any more) is waited for. Default: not at all
 * @throws UnreachableError when no broker is named and no daemon runs on the store
 */
export async function endpointOf({ settings, shell }: Invocation, absentMs = 0): Promise<Endpoint> {
  if (settings.nats !== undefined) return namedEndpoint(settings, settings.nats);
  const { clock, interrupted } = shell;
  for (const begun = clock.monotonic(); ; ) {
    try {
      const { url, token } = await readBrokerFile(settings.store);
      return { url, token };
    } catch (error) {
      const waited = clock.monotonic() - begun;
      if (interrupted.aborted || waited >= patience(error, absentMs)) throw error;
    }
    await pause(clock);
  }
}

const pause = (clock: Clock) => new Promise<void>((resolve) => clock.setTimeout(resolve, LOOK_AGAIN_MS));

function patience(error: unknown, absentMs: number): number {
  if (!(error instanceof UnreachableError)) return 0;
  if (error.code === "E_DAEMON_STARTING") return Math.max(STARTING_MS, absentMs);
  return error.code === "E_NO_DAEMON" ? absentMs : 0;
}

/** Undefined instead of an error where there is nothing to connect to, so that one may start a daemon. */
export async function findEndpoint(call: Invocation): Promise<Endpoint | undefined> {
  try {
    return await endpointOf(call);
  } catch (error) {
    if (error instanceof UnreachableError && error.code === "E_NO_DAEMON") return undefined;
    throw error;
  }
}

function namedEndpoint({ token, creds }: Settings, url: string): Endpoint {
  return { url, ...(token === undefined ? {} : { token }), ...(creds === undefined ? {} : { creds }) };
}

/**
 * A broker that died under its daemon is being brought back: it is waited for as at a start.
 * @throws UnreachableError when the broker does not answer
 */
export async function connectBus(
  call: Invocation,
  endpoint: Endpoint,
  name: string,
  inboxPrefix?: string,
): Promise<Bus> {
  const { connectNatsBus } = await import("../bus/nats/bus.ts");
  const {
    settings: { swarm, nats },
    shell: { clock, interrupted },
  } = call;
  let at = endpoint;
  for (const begun = clock.monotonic(); ; ) {
    try {
      return await connectNatsBus({
        ...at,
        swarm,
        name,
        clock,
        ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
      });
    } catch (error) {
      const comesBack = nats === undefined && error instanceof UnreachableError && error.code === "E_BROKER";
      if (!comesBack || interrupted.aborted || clock.monotonic() - begun >= STARTING_MS) throw error;
    }
    await pause(clock);
    at = await endpointOf(call);
  }
}

/** A client on a bus of one's own. */
export async function clientOn(bus: Bus, { shell }: Invocation): Promise<SwarmClient> {
  const { connectSwarm } = await import("../client/connect.ts");
  return connectSwarm({ bus, clock: shell.clock, random: shell.random });
}

/** The daemon's swarm, or with `archive` the file or folder in which the run was kept. */
export async function withReader<Result>(
  call: Invocation,
  { run, archive }: { run: string; archive?: string },
  work: (reader: Pick<SwarmClient, "show" | "records" | "environment">) => Promise<Result>,
): Promise<Result> {
  if (archive === undefined) return withClient(call, work);
  const { openArchive } = await import("../client/run-archive-file.ts");
  const { RunReader } = await import("../client/run-reader.ts");
  return work(new RunReader(await openArchive(resolve(call.shell.cwd, archive), run), call.shell.clock));
}

/**
 * Runs a piece of work with a client, and closes the connection whatever comes of it.
 * @throws UnreachableError when there is no broker, or it does not answer
 */
export async function withClient<Result>(
  call: Invocation,
  work: (client: SwarmClient) => Promise<Result>,
): Promise<Result> {
  const bus = await connectBus(call, await endpointOf(call), "datahammer-cli");
  try {
    return await work(await clientOn(bus, call));
  } finally {
    await bus.close();
  }
}
