/** A real nats-server for a test: its own fresh store, its own random port, and ways to hurt it. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { locateServer } from "../../src/daemon/broker/locate.ts";
import { launchServer } from "../../src/daemon/broker/server-process.ts";
import type { ServerVersion } from "../../src/daemon/broker/server-version.ts";

export interface TestNatsOptions {
  /** Default: the one that the product itself would manage. */
  binary?: string;
  /** Default: a fresh temporary folder, removed by `stop`. One that is given is kept. */
  store?: string;
  /** Lines added to the server's configuration. */
  config?: string;
}

export interface TestNats {
  readonly url: string;
  readonly token: string;
  readonly pid: number;
  readonly store: string;
  readonly version: ServerVersion;
  /** SIGKILL; resolves when the process has ended. */
  kill9(): Promise<void>;
  /** Starts again on the same port and store, after ending what runs. */
  restart(): Promise<void>;
  /** Freezes the process: connections stay open and nothing answers. */
  sigstop(): void;
  sigcont(): void;
  /** Ends the server and removes a store that was made for it. */
  stop(): Promise<void>;
}

/** Starts one. A missing binary fails the test; it never skips. */
export async function startTestNats(options: TestNatsOptions = {}): Promise<TestNats> {
  const located = await locateServer({
    env: options.binary ? { DATAHAMMER_NATS_SERVER: options.binary } : process.env,
  });
  const { version } = located;
  const store = options.store ?? (await mkdtemp(join(tmpdir(), "datahammer-nats-")));
  const token = randomBytes(16).toString("hex");
  const launch = (port: number) =>
    launchServer({
      binary: located.path,
      version,
      folder: join(store, "server"),
      storeDir: join(store, "data"),
      port,
      token,
      name: "datahammer-test",
      ...(options.config === undefined ? {} : { extraConfig: options.config }),
    });
  let server = await launch(-1);
  const { url, port } = server;
  return {
    url,
    token,
    store,
    version,
    get pid() {
      return server.pid;
    },
    kill9: async () => {
      await server.kill();
    },
    restart: async () => {
      await server.kill();
      server = await launch(port);
    },
    sigstop: () => server.signal("SIGSTOP"),
    sigcont: () => server.signal("SIGCONT"),
    stop: async () => {
      await server.kill();
      if (options.store === undefined) await rm(store, { recursive: true, force: true });
    },
  };
}
