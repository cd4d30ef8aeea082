/**
 * Catches a managed broker that loses its address or its secret, that lets two servers at one store, that
 * gives up silently or never, or that outlives its daemon.
 */
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "nats";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readBrokerFile } from "../../src/daemon/broker/broker-file.ts";
import { locateServer } from "../../src/daemon/broker/locate.ts";
import {
  type BrokerEvent,
  type ManagedBroker,
  type ManagedBrokerOptions,
  startManagedBroker,
} from "../../src/daemon/broker/managed-broker.ts";
import { isRunning, processesUnder, startNode } from "../support/cli.ts";

const PROGRAM = join(import.meta.dirname, "daemon-program.ts");

let store: string;
let broker: ManagedBroker | undefined;
beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), "datahammer-store-"));
});
afterEach(async () => {
  await broker?.stop();
  broker = undefined;
  await rm(store, { recursive: true, force: true });
});

const start = async (options: Partial<ManagedBrokerOptions> = {}): Promise<ManagedBroker> => {
  broker = await startManagedBroker({
    store,
    env: process.env,
    log: pino({ level: "silent" }),
    product: "0.0.0",
    ...options,
  });
  return broker;
};

/** Resolves at the first event of a kind. */
const event = <K extends BrokerEvent["kind"]>(from: ManagedBroker, kind: K) =>
  new Promise<BrokerEvent & { kind: K }>((resolve) => {
    from.onExit((happened) => {
      if (happened.kind === kind) resolve(happened as BrokerEvent & { kind: K });
    });
  });

const canConnect = async (to: { url: string; token: string }) => {
  const connection = await connect({ servers: to.url, token: to.token, reconnect: false });
  await connection.close();
};

const reconnected = async (connection: NatsConnection): Promise<void> => {
  for await (const { type } of connection.status()) if (type === "reconnect") return;
};

const startDaemon = () => startNode(["--import", "tsx", PROGRAM, store]);
type Said = { url: string; token: string; pid: number; code?: string };
const said = async (daemon: ReturnType<typeof startDaemon>): Promise<Said> =>
  JSON.parse(await daemon.waitForLine((line) => line.startsWith("{"))) as Said;

describe("the managed broker", () => {
  it("tells clients where it is in a file that only its owner can read, for as long as it runs", async () => {
    const { url, token, pid, version } = await start();
    expect(await readBrokerFile(store)).toEqual({ url, token, pid, version });
    expect((await stat(join(store, "broker.json"))).mode & 0o777).toBe(0o600);
    await canConnect({ url, token });
    await broker?.stop();
    await expect(readBrokerFile(store)).rejects.toMatchObject({ code: "E_NO_DAEMON" });
    expect(await isRunning(pid)).toBe(false);
  });

  it("keeps its secret off the command line", async () => {
    const { pid, token } = await start();
    expect(await readFile(`/proc/${pid}/cmdline`, "utf8")).not.toContain(token);
  });

  it("comes back at the same address when the server is killed, and tells the new process", async () => {
    const { url, token, pid } = await start();
    const restarted = event(broker as ManagedBroker, "restarted");
    process.kill(pid, "SIGKILL");
    const { pid: now } = await restarted;
    expect(now).not.toBe(pid);
    expect(await readBrokerFile(store)).toMatchObject({ url, token, pid: now });
    await canConnect({ url, token });
  });

  it("keeps address and secret over a restart of the daemon", async () => {
    const { url, token } = await start();
    await broker?.stop();
    expect(await start()).toMatchObject({ url, token });
  });

  it("takes another port when the store's last one is taken by somebody else", async () => {
    const { url } = await start();
    await broker?.stop();
    const squatter = createServer();
    await new Promise<void>((done) => squatter.listen(Number(new URL(url).port), "127.0.0.1", done));
    try {
      const again = await start();
      expect(again.url).not.toBe(url);
      await canConnect(again);
    } finally {
      await new Promise((done) => squatter.close(done));
    }
  });

  it("gives up with a clear error when the server ends again and again", async () => {
    const { path } = await locateServer({ env: process.env });
    const broken = join(store, "..", `${store.split("/").at(-1)}.broken`);
    const binary = join(store, "fragile-nats-server");
    await writeFile(
      binary,
      `#!/bin/sh\n[ "$1" = -c ] && [ -e '${broken}' ] && exit 7\nexec '${path}' "$@"\n`,
    );
    await chmod(binary, 0o755);
    try {
      const fragile = await start({ binary, restart: { initialMs: 1, maxMs: 2, limit: 3 } });
      await writeFile(broken, "");
      const failed = event(fragile, "failed");
      process.kill(fragile.pid, "SIGKILL");
      const { error } = await failed;
      expect(error.code).toBe("E_BROKER_FAILED");
      expect(error.message).toMatch(/ended 4 times .* \(bound 3\)\. Last: .*exit code 7/);
      expect(error.remedy).toContain("server.log");
    } finally {
      await rm(broken, { force: true });
    }
  });

  it("brings its server back however often somebody kills it", async () => {
    const often = await start({ restart: { initialMs: 1, maxMs: 2, limit: 2 } });
    for (let kill = 0; kill < 5; kill++) {
      const restarted = event(often, "restarted");
      process.kill(often.pid, "SIGKILL");
      await restarted;
    }
    await canConnect(often);
  });

  it("can be stopped while it waits to restart its server", async () => {
    const { pid } = await start({ restart: { initialMs: 3_600_000, maxMs: 3_600_000 } });
    const exited = event(broker as ManagedBroker, "exited");
    process.kill(pid, "SIGKILL");
    expect((await exited).exit.signal).toBe("SIGKILL");
    await broker?.stop();
    await expect(readBrokerFile(store)).rejects.toMatchObject({ code: "E_NO_DAEMON" });
  });

  it("refuses a second daemon on its store, naming the first", async () => {
    await start();
    const second = startDaemon();
    expect(await said(second)).toEqual({ code: "E_STORE_LOCKED" });
    await second.exited;
    await expect(startManagedBroker({ store, env: {}, log: pino(), product: "" })).rejects.toMatchObject({
      code: "E_STORE_LOCKED",
      message: expect.stringContaining(`process ${process.pid}`),
      remedy: expect.stringContaining("--store"),
    });
  });

  it("is replaced, not doubled, by the next daemon after kill -9 of its own", async () => {
    const first = startDaemon();
    const before = await said(first);
    await first.kill("SIGKILL");
    const next = await start();
    expect(await isRunning(before.pid)).toBe(false);
    expect(next.pid).not.toBe(before.pid);
    expect(next).toMatchObject({ url: before.url, token: before.token });
    await canConnect(next);
  });

  it("ends by itself, with nobody's help, when its daemon is killed", async () => {
    const daemon = startDaemon();
    const { pid } = await said(daemon);
    await daemon.kill("SIGKILL");
    await expect.poll(() => isRunning(pid), { timeout: 30_000 }).toBe(false);
  });

  it("survives a terminal's Ctrl-C until its daemon stops it, and leaves no process behind", async () => {
    const daemon = startDaemon();
    const { pid } = await said(daemon);
    const group = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]?.split(" ")[2];
    expect(Number(group)).toBe(pid);
    const under = await processesUnder(daemon.pid);
    expect(under.map((process) => process.pid)).toContain(pid);
    const ended = await daemon.kill("SIGINT");
    expect(ended).toMatchObject({ code: 0, signal: null });
    expect(await isRunning(pid)).toBe(false);
  });

  it("does not start while a store says that a newer nats-server wrote it", async () => {
    await writeFile(join(store, "version.json"), '{"natsServer":"99.1.2","datahammer":"0.1.0"}');
    await expect(start()).rejects.toMatchObject({
      code: "E_STORE_VERSION",
      message: expect.stringMatching(/99\.1\.2 .* cannot be opened by \d/),
      remedy: expect.stringContaining("99.1 or later"),
    });
    // The refusal holds nothing: once it may, it starts.
    await rm(join(store, "version.json"));
    const { version } = await start();
    expect(JSON.parse(await readFile(join(store, "version.json"), "utf8"))).toEqual({
      natsServer: version,
      datahammer: "0.0.0",
    });
  });

  it("refuses to promise that acknowledged means on disk where the server cannot do it", async () => {
    const binary = join(store, "old-nats-server");
    await writeFile(binary, "#!/bin/sh\necho nats-server: v2.9.25\n");
    await chmod(binary, 0o755);
    await expect(start({ binary, fsync: "always" })).rejects.toMatchObject({
      code: "E_FSYNC",
      message: expect.stringContaining("2.9.25"),
    });
  });

  it("gives its start up when told so, without waiting for a fetch, and lets go of the store", async () => {
    const giveUp = new AbortController();
    const fetching = start({
      env: { PATH: "", HOME: store },
      fetch: () => {
        giveUp.abort(new Error("interrupted"));
        return new Promise(() => undefined);
      },
      signal: giveUp.signal,
    });
    await expect(fetching).rejects.toThrow("interrupted");
    await start();
  });

  it("keeps what it acknowledged when the server is killed at once", async () => {
    const first = await start();
    const connection = await connect({
      servers: first.url,
      token: first.token,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
    });
    try {
      const manager = await jetstreamManager(connection);
      await manager.streams.add({ name: "kept", subjects: ["kept"] });
      const { seq } = await manager.jetstream().publish("kept", "worth keeping");
      const back = reconnected(connection);
      process.kill(first.pid, "SIGKILL");
      await back; // The same client, by itself: address and secret are the same.
      expect((await manager.streams.getMessage("kept", { seq }))?.string()).toBe("worth keeping");
    } finally {
      await connection.close();
    }
  });

  it("says that a store which is no folder, or cannot become one, cannot be used", async () => {
    const file = join(store, "file");
    await writeFile(file, "");
    for (const unusable of [file, join(file, "below"), "/proc/none", "/proc/none/below"])
      await expect(start({ store: unusable })).rejects.toMatchObject({ code: "E_STORE" });
  });

  for (const part of ["lock", "nats"]) {
    it(`says that a store whose ${part} is no folder cannot be used`, async () => {
      await writeFile(join(store, part), "");
      await expect(start()).rejects.toMatchObject({ code: "E_STORE" });
    });
  }
});
