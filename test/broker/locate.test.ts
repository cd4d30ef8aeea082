/** Catches a nats-server that is looked for in the wrong order, or fetched twice, half, unchecked or in silence. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { distributionPackage } from "../../src/daemon/broker/distribution-package.ts";
import { fetchServer, type ServerSource } from "../../src/daemon/broker/fetch.ts";
import { cacheFolder, locateServer } from "../../src/daemon/broker/locate.ts";
import { UPSTREAM_VERSION, upstreamRelease } from "../../src/daemon/broker/upstream-release.ts";

let home: string;
let server: Server | undefined;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "datahammer-locate-"));
});
afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((done) => (server ? server.close(done) : done(undefined)));
  server = undefined;
  await rm(home, { recursive: true, force: true });
});

const stub = (version: string) => `#!/bin/sh\necho "nats-server: v${version}"\n`;
const place = async (path: string, text: string) => {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  await chmod(path, 0o755);
  return path;
};
const source = (origin: string, text: string | Error): ServerSource & { calls: number } => ({
  origin,
  description: `a server from ${origin}`,
  calls: 0,
  async fetch(path) {
    this.calls++;
    if (text instanceof Error) throw text;
    await writeFile(path, text);
  },
});
const quiet = () => undefined;

describe("looking for a nats-server", () => {
  it("prefers the one that is named, then PATH, then the newest in the cache", async () => {
    const env = { HOME: home, PATH: [join(home, "none"), join(home, "bin")].join(delimiter) };
    await place(join(cacheFolder(env), "2.9.10-package", "nats-server"), stub("2.9.10"));
    const newest = await place(join(cacheFolder(env), "2.10.2-upstream", "nats-server"), stub("2.10.2"));
    expect(await locateServer({ env })).toMatchObject({ path: newest, source: "cache" });
    const onPath = await place(join(home, "bin", "nats-server"), stub("2.9.1"));
    expect(await locateServer({ env })).toMatchObject({ path: onPath, source: "path" });
    const named = await place(join(home, "mine"), stub("2.11.0"));
    const found = await locateServer({ env: { ...env, DATAHAMMER_NATS_SERVER: named } });
    expect(found).toMatchObject({ path: named, source: "environment", version: { text: "2.11.0" } });
  });

  it("passes over what is on PATH but too old, not a server, or not executable", async () => {
    const env = { HOME: home, PATH: ["a", "b", "c", "d"].map((name) => join(home, name)).join(delimiter) };
    await place(join(home, "a", "nats-server"), stub("2.8.4"));
    await place(join(home, "b", "nats-server"), "#!/bin/sh\necho other 3.0.0\n");
    await chmod(await place(join(home, "c", "nats-server"), stub("2.10.0")), 0o644);
    const good = await place(join(home, "d", "nats-server"), stub("2.9.0"));
    expect((await locateServer({ env })).path).toBe(good);
  });

  it("refuses a named one that cannot be used, instead of quietly taking another", async () => {
    const env = { HOME: home, PATH: join(home, "bin") };
    await place(join(home, "bin", "nats-server"), stub("2.10.0"));
    const old = await place(join(home, "old"), stub("2.8.4"));
    for (const named of [old, join(home, "absent"), process.execPath]) {
      await expect(locateServer({ env: { ...env, DATAHAMMER_NATS_SERVER: named } })).rejects.toMatchObject({
        code: "E_NATS_SERVER_UNUSABLE",
        message: expect.stringContaining(named),
      });
    }
  });

  it("ends with the remedy where there is none and no network: what each source said, and what to do", async () => {
    const env = { HOME: home, PATH: "" };
    const sources = [source("upstream", new Error("getaddrinfo ENOTFOUND")), distributionPackage(env)];
    const told: string[] = [];
    const failure = locateServer({
      env,
      fetch: (cache, notice) => fetchServer(cache, notice, sources),
      notice: (line) => told.push(line),
    });
    await expect(failure).rejects.toMatchObject({
      name: "UnreachableError",
      code: "E_NO_NATS_SERVER",
      message: expect.stringMatching(/getaddrinfo ENOTFOUND[\s\S]*this system has no apt-get/),
      remedy: expect.stringMatching(/Install nats-server .*DATAHAMMER_NATS_SERVER/),
    });
    expect(told).toHaveLength(2);
  });

  it("says where it wanted to put one when it may not", async () => {
    await writeFile(join(home, "file"), "");
    const env = { XDG_CACHE_HOME: join(home, "file"), PATH: "" };
    const failure = locateServer({ env, fetch: (cache, notice) => fetchServer(cache, notice, []) });
    await expect(failure).rejects.toMatchObject({
      code: "E_NO_NATS_SERVER",
      message: expect.stringContaining(join(home, "file")),
      remedy: expect.stringContaining("XDG_CACHE_HOME"),
    });
  });
});

describe("fetching a nats-server", () => {
  const fetched = async (sources: ServerSource[]) => fetchServer(join(home, "cache"), quiet, sources);
  const inCache = async () => (await readdir(join(home, "cache"))).filter((name) => name !== ".lock");

  it("takes the next source when one fails, and leaves only the whole server behind", async () => {
    const path = await fetched([
      source("broken", new Error("no route")),
      source("garbage", "not a program"),
      source("good", stub("2.12.8")),
    ]);
    expect(path).toBe(join(home, "cache", "2.12.8-good", "nats-server"));
    expect(await inCache()).toEqual(["2.12.8-good"]);
  });

  it("fetches once for all who ask at once", async () => {
    const only = source("good", stub("2.12.8"));
    const paths = await Promise.all([fetched([only]), fetched([only]), fetched([only])]);
    expect(new Set(paths).size).toBe(1);
    expect(only.calls).toBe(1);
  });

  it("clears away what a killed process had half fetched", async () => {
    await place(join(home, "cache", ".fetching-dead", "whole", "nats-server"), "half");
    await fetched([source("good", stub("2.12.8"))]);
    expect(await inCache()).toEqual(["2.12.8-good"]);
  });
});

describe("upstream's release", () => {
  const NAME = `nats-server-v${UPSTREAM_VERSION}-linux-amd64`;

  /** Serves one release; resolves with the place to fetch it from. */
  const release = async (change: (files: Map<string, Buffer>) => void = quiet) => {
    await place(join(home, NAME, "nats-server"), stub(UPSTREAM_VERSION));
    await copyFile(join(home, NAME, "nats-server"), join(home, NAME, "README.md"));
    await promisify(execFile)("tar", ["-czf", `${NAME}.tar.gz`, `${NAME}/README.md`, `${NAME}/nats-server`], {
      cwd: home,
    });
    const archive = await readFile(join(home, `${NAME}.tar.gz`));
    const digest = createHash("sha256").update(archive).digest("hex");
    const files = new Map([
      [`${NAME}.tar.gz`, archive],
      ["SHA256SUMS", Buffer.from(`${"0".repeat(64)}  other.zip\n${digest}  ${NAME}.tar.gz\n`)],
    ]);
    change(files);
    return serve((path, answer) => {
      const file = files.get(path.split("/").at(-1) ?? "");
      answer(file ? 200 : 404, file ?? Buffer.from("nothing here"));
    });
  };
  const serve = async (handle: (path: string, answer: (status: number, body: Buffer) => void) => void) => {
    server = createServer((request, response) => {
      handle(request.url ?? "", (status, body) => response.writeHead(status).end(body));
    });
    await new Promise<void>((done) => server?.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const fetchFrom = async (releases: string, answerTimeoutMs = 30_000) => {
    const upstream = upstreamRelease({
      releases,
      platform: "linux",
      architecture: "x64",
      answerTimeoutMs,
    });
    await upstream.fetch(join(home, "got"), home);
    return readFile(join(home, "got"), "utf8");
  };

  it("is unpacked when its checksum is the published one", async () => {
    expect(await fetchFrom(await release())).toBe(stub(UPSTREAM_VERSION));
  });

  it("is refused when its checksum is another, or none was published", async () => {
    const tampered = await release((files) => files.set(`${NAME}.tar.gz`, Buffer.from("tampered")));
    await expect(fetchFrom(tampered)).rejects.toThrow(/SHA-256 .* not .* as published/);
    await new Promise((done) => server?.close(done));
    const unnamed = await release((files) => files.set("SHA256SUMS", Buffer.from("")));
    await expect(fetchFrom(unnamed)).rejects.toThrow(/does not name/);
  });

  it("says so when there is no such release, nobody listens, or nobody answers in time", async () => {
    await expect(fetchFrom(await release((files) => files.clear()))).rejects.toThrow(/answered 404/);
    await new Promise((done) => server?.close(done));
    const silent = await serve(quiet);
    await expect(fetchFrom(silent, 50)).rejects.toThrow("no answer in 50 ms");
    server?.closeAllConnections();
    await new Promise((done) => server?.close(done));
    server = undefined;
    await expect(fetchFrom(silent)).rejects.toThrow(/ECONNREFUSED/);
  });
});
