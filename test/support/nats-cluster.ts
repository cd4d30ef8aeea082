/** A cluster of real nats-servers on loopback: three of them, each with a store and a random port of its own. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "nats";
import { locateServer } from "../../src/daemon/broker/locate.ts";
import { launchServer, type ServerProcess } from "../../src/daemon/broker/server-process.ts";

const SIZE = 3;

export interface TestCluster {
  /** Of all servers, with commas between them. */
  readonly url: string;
  readonly token: string;
  /** A connection of the test's own to whichever server is there. */
  readonly raw: NatsConnection;
  /** Which server leads a stream: its number. Waits until there is one. */
  leaderOf(stream: string): Promise<number>;
  kill9(server: number): Promise<void>;
  /** SIGTERM. Resolves when it has ended. */
  shutDown(server: number): Promise<void>;
  restart(server: number): Promise<void>;
  /** Resolves once every stream of the account has a leader and all of its copies are up to date. */
  whole(): Promise<void>;
  stop(): Promise<void>;
}

interface StreamInfo {
  error?: unknown;
  config: { name: string; num_replicas: number };
  cluster?: { leader?: string; replicas?: { current: boolean }[] };
}

export async function startTestCluster(): Promise<TestCluster> {
  const { path: binary, version } = await locateServer({ env: process.env });
  const store = await mkdtemp(join(tmpdir(), "datahammer-cluster-"));
  const token = randomBytes(16).toString("hex");
  const routes = await freePorts(SIZE);
  const launch = (server: number, port: number) =>
    launchServer({
      binary,
      version,
      folder: join(store, `s${server}`),
      storeDir: join(store, `s${server}`, "data"),
      port,
      token,
      name: `s${server}`,
      extraConfig: [
        "cluster {",
        "  name: test",
        `  listen: 127.0.0.1:${routes[server]}`,
        `  routes: [${routes.map((route) => `nats://127.0.0.1:${route}`).join(", ")}]`,
        "}",
      ].join("\n"),
    });
  const servers = await Promise.all(routes.map((_, server) => launch(server, -1)));
  const at = (server: number): ServerProcess => {
    const found = servers[server];
    if (found === undefined) throw new Error(`there is no server ${server}`);
    return found;
  };
  const urls = servers.map(({ url }) => url);
  const raw = await connect({ servers: urls, token, maxReconnectAttempts: -1, reconnectTimeWait: 100 });

  /** Asks until it is answered without an error: while leaders are elected it is not. */
  async function api<Answer>(subject: string): Promise<Answer> {
    for (;;) {
      try {
        const answer = (await raw.request(`$JS.API.${subject}`, "", { timeout: 1_000 })).json() as object;
        if (!("error" in answer)) return answer as Answer;
      } catch {
        // No leader, or the server that was asked has just died.
      }
      await new Promise(setImmediate);
    }
  }
  const info = (stream: string) => api<StreamInfo>(`STREAM.INFO.${stream}`);

  return {
    url: urls.join(","),
    token,
    raw,
    async leaderOf(stream) {
      for (;;) {
        const { cluster } = await info(stream);
        if (cluster?.leader) return Number(cluster.leader.slice(1));
      }
    },
    async kill9(server) {
      await at(server).kill();
    },
    async shutDown(server) {
      at(server).signal("SIGTERM");
      await at(server).exited;
    },
    async restart(server) {
      servers[server] = await launch(server, at(server).port);
    },
    async whole() {
      const { streams } = await api<{ streams: string[] | null }>("STREAM.NAMES");
      for (const stream of streams ?? []) {
        for (;;) {
          const { config, cluster } = await info(stream);
          const copies = cluster?.replicas ?? [];
          if (
            cluster?.leader &&
            copies.length === config.num_replicas - 1 &&
            copies.every(({ current }) => current)
          )
            break;
        }
      }
    },
    async stop() {
      await raw.close();
      await Promise.all(servers.map((server) => server.kill()));
      await rm(store, { recursive: true, force: true });
    },
  };
}

/** Ports that are free now: a cluster's servers have to know each other's before they start. */
async function freePorts(count: number): Promise<number[]> {
  const taken = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      return server;
    }),
  );
  const ports = taken.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(taken.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
