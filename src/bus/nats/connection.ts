/** How a connection to nats-server is made: the same for a party's bus and for its keep-alive thread. */
import { type ConnectionOptions, connect, credsAuthenticator, type NatsConnection } from "nats";

/** Plain data, so that it can be handed to another thread. */
export interface ConnectionSettings {
  /** One server, or several of a cluster: as a list, or with commas between them. */
  url: string | string[];
  token?: string | undefined;
  /** Content of a credentials file. */
  creds?: string | undefined;
  /** Shown in the server's connection list. */
  name: string;
  /** Prefix of the subjects at which answers arrive, where rights are limited to it. */
  inboxPrefix?: string | undefined;
}

const CONNECT_TIMEOUT_MS = 5_000;
const PING_INTERVAL_MS = 10_000;

export function connectTo(
  settings: ConnectionSettings,
  extra: Pick<ConnectionOptions, "waitOnFirstConnect"> = {},
): Promise<NatsConnection> {
  const { url, token, creds, name, inboxPrefix } = settings;
  return connect({
    servers: serversOf(url),
    name,
    ...(token === undefined ? {} : { token }),
    ...(creds === undefined ? {} : { authenticator: credsAuthenticator(new TextEncoder().encode(creds)) }),
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
    // Stack traces per request cost a third of the throughput.
    noAsyncTraces: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 100,
    reconnectJitterTLS: 250,
    pingInterval: PING_INTERVAL_MS,
    timeout: CONNECT_TIMEOUT_MS,
    // A managed broker that restarts refuses its own token for a moment; that is no reason to give up.
    ignoreAuthErrorAbort: true,
    ...extra,
  });
}

/** Each server's URL by itself. */
export function serversOf(url: string | string[]): string[] {
  return [url].flat().flatMap((urls) => urls.split(","));
}
