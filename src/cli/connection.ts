/** Finding the broker that a command is about, and talking to the swarm on it. */
import { resolve } from "node:path";
import type { Bus } from "../bus/bus.ts";
import { connectSwarm } from "../client/connect.ts";
import { RunReader } from "../client/run-reader.ts";
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

/**
 * The broker that the settings name, else the one of the daemon on the store.
 * @throws UnreachableError when no broker is named and no daemon runs on the store
 */
export async function endpointOf(settings: Settings): Promise<Endpoint> {
  if (settings.nats !== undefined) return namedEndpoint(settings, settings.nats);
  const { url, token } = await readBrokerFile(settings.store);
  return { url, token };
}

/** Undefined instead of an error where there is nothing to connect to, so that one may start a daemon. */
export async function findEndpoint(settings: Settings): Promise<Endpoint | undefined> {
  try {
    return await endpointOf(settings);
  } catch (error) {
    if (error instanceof UnreachableError && error.code === "E_NO_DAEMON") return undefined;
    throw error;
  }
}

function namedEndpoint({ token, creds }: Settings, url: string): Endpoint {
  return { url, ...(token === undefined ? {} : { token }), ...(creds === undefined ? {} : { creds }) };
}

/** @throws UnreachableError when the broker does not answer */
export async function connectBus(
  { settings, shell }: Invocation,
  endpoint: Endpoint,
  name: string,
  inboxPrefix?: string,
): Promise<Bus> {
  const { connectNatsBus } = await import("../bus/nats/bus.ts");
  return connectNatsBus({
    ...endpoint,
    swarm: settings.swarm,
    name,
    clock: shell.clock,
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
  });
}

/** A client on a bus of one's own. */
export function clientOn(bus: Bus, { shell }: Invocation): Promise<SwarmClient> {
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
  const bus = await connectBus(call, await endpointOf(call.settings), "datahammer-cli");
  try {
    return await work(await clientOn(bus, call));
  } finally {
    await bus.close();
  }
}
