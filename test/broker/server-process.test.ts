/** Catches a nats-server that is started wrong, that cannot be told apart from an older one, or that stays behind. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "nats";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { locateServer } from "../../src/daemon/broker/locate.ts";
import { configText, launchServer, type ServerSettings } from "../../src/daemon/broker/server-process.ts";
import { parseServerVersion, type ServerVersion } from "../../src/daemon/broker/server-version.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

let server: TestNats | undefined;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "datahammer-server-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
  await server?.stop();
  server = undefined;
});

const settings = async (): Promise<ServerSettings> => {
  const { path, version } = await locateServer({ env: process.env });
  return { binary: path, version, folder, storeDir: folder, port: -1, token: "token", name: "test" };
};
const versionOf = (text: string): ServerVersion => {
  const version = parseServerVersion(text);
  if (!version) throw new Error(`${text} is no version`);
  return version;
};

describe("a nats-server process", () => {
  it("takes a client with its token on loopback, and refuses one without", async () => {
    server = await startTestNats();
    const connection = await connect({ servers: server.url, token: server.token });
    expect(new URL(server.url).hostname).toBe("127.0.0.1");
    await connection.close();
    await expect(connect({ servers: server.url, reconnect: false })).rejects.toThrow(/authorization/i);
  });

  it("comes back on the same port after kill -9, although the dead one's ports file is still there", async () => {
    server = await startTestNats();
    const { url, pid } = server;
    await server.kill9();
    await server.restart();
    expect(server.pid).not.toBe(pid);
    const connection = await connect({ servers: url, token: server.token });
    await connection.close();
  });

  it("is killed when it does not stop in time", async () => {
    const frozen = await launchServer({ ...(await settings()), stopTimeoutMs: 50 });
    frozen.signal("SIGSTOP");
    expect(await frozen.stop()).toEqual({ code: null, signal: "SIGKILL" });
    expect(await frozen.stop()).toEqual({ code: null, signal: "SIGKILL" });
  });

  it("stops in good order with exit code 0 when asked", async () => {
    const asked = await launchServer(await settings());
    expect(await asked.stop()).toEqual({ code: 0, signal: null });
  });

  it("that refuses its configuration is reported with its own words", async () => {
    await expect(launchServer({ ...(await settings()), extraConfig: "nonsense: 1" })).rejects.toMatchObject({
      code: "E_BROKER_START",
      message: expect.stringMatching(/exit code 1.*It said: .*unknown field "nonsense"/),
      remedy: expect.stringContaining("server.log"),
    });
  });

  it("tells a taken port apart from other reasons", async () => {
    server = await startTestNats();
    const port = Number(new URL(server.url).port);
    await expect(launchServer({ ...(await settings()), port })).rejects.toMatchObject({
      code: "E_BROKER_START",
      data: { addressInUse: true },
    });
  });

  it("cannot be started from a file that is no program", async () => {
    await expect(launchServer({ ...(await settings()), binary: folder })).rejects.toMatchObject({
      code: "E_BROKER_START",
      message: expect.stringContaining("cannot be run"),
    });
  });

  it("finds only as many full logs as are kept", async () => {
    for (const day of [1, 2, 3, 4, 5]) await writeFile(join(folder, `server.log.2026.01.0${day}`), "");
    await (await launchServer(await settings())).kill();
    const kept = (await readdir(folder)).filter((name) => name.startsWith("server.log."));
    expect(kept.sort()).toEqual(["server.log.2026.01.03", "server.log.2026.01.04", "server.log.2026.01.05"]);
  });

  it("is told how often to write to disk in words that its version knows", async () => {
    const text = async (version: string, fsync: "always" | "interval") =>
      configText({ ...(await settings()), version: versionOf(version), fsync });
    expect(await text("2.9.10", "interval")).not.toContain("sync_interval");
    expect(await text("2.10.0", "interval")).toContain('sync_interval: "1s"');
    expect(await text("2.10.0", "always")).toContain("sync_interval: always");
  });
});
