/**
 * nats-server as its makers release it: one pinned version, checked against the checksums of that release.
 *
 * An unreachable host costs at most `ANSWER_TIMEOUT_MS`. Proxies are not used; where one is needed, the
 * distribution's package is fetched instead, by the system's own tool with the system's own settings.
 */
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { ServerSource } from "./fetch.ts";
import { BINARY } from "./locate.ts";

/** The version that is fetched. */
export const UPSTREAM_VERSION = "2.12.8";
const RELEASES = "https://github.com/nats-io/nats-server/releases/download";
/** From asking until the first answer: what an unreachable host costs. */
const ANSWER_TIMEOUT_MS = 5_000;
/** For the whole of one file. */
const DOWNLOAD_TIMEOUT_MS = 180_000;
/** Bounds of what is taken into memory (L8). */
const MAX_ARCHIVE_BYTES = 128 * 1024 * 1024;

const PLATFORMS: Readonly<Record<string, string>> = {
  linux: "linux",
  darwin: "darwin",
  win32: "windows",
  freebsd: "freebsd",
};
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "amd64",
  arm64: "arm64",
  arm: "arm7",
  ia32: "386",
  s390x: "s390x",
  ppc64: "ppc64le",
  riscv64: "riscv64",
};

export interface UpstreamOptions {
  /** Where the releases are; the tests put a server of their own here. */
  releases?: string;
  platform?: string;
  architecture?: string;
  answerTimeoutMs?: number;
}

export function upstreamRelease(options: UpstreamOptions = {}): ServerSource {
  const base = `${options.releases ?? RELEASES}/v${UPSTREAM_VERSION}`;
  const answerTimeoutMs = options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS;
  return {
    origin: "upstream",
    description: `nats-server ${UPSTREAM_VERSION} from ${base}`,
    async fetch(path) {
      const platform = PLATFORMS[options.platform ?? process.platform];
      const architecture = ARCHITECTURES[options.architecture ?? process.arch];
      if (!platform || !architecture) {
        throw new Error(`there is no release for ${process.platform} on ${process.arch}`);
      }
      const name = `nats-server-v${UPSTREAM_VERSION}-${platform}-${architecture}.tar.gz`;
      const sums = (await download(`${base}/SHA256SUMS`, answerTimeoutMs)).toString("utf8");
      const expected = checksumOf(sums, name);
      if (!expected) throw new Error(`SHA256SUMS does not name ${name}`);
      const archive = await download(`${base}/${name}`, answerTimeoutMs);
      const actual = createHash("sha256").update(archive).digest("hex");
      if (actual !== expected) throw new Error(`${name} has SHA-256 ${actual}, not ${expected} as published`);
      const tar = await promisify(gunzip)(archive, { maxOutputLength: MAX_ARCHIVE_BYTES });
      const file = fileInTar(tar, BINARY);
      if (!file) throw new Error(`${name} holds no ${BINARY}`);
      await writeFile(path, file);
    },
  };
}

/** The hex digest of `name` in the text of a SHA256SUMS file. */
function checksumOf(sums: string, name: string): string | undefined {
  for (const line of sums.split("\n")) {
    const [digest, file] = line.trim().split(/\s+\*?/);
    if (file === name && digest && /^[0-9a-f]{64}$/.test(digest)) return digest;
  }
  return undefined;
}

const BLOCK = 512;

/** The contents of the first regular file with this base name in a tar archive (POSIX.1-1988 ustar). */
function fileInTar(tar: Buffer, baseName: string): Buffer | undefined {
  for (let at = 0; at + BLOCK <= tar.length; ) {
    const text = (from: number, length: number) =>
      tar.toString("latin1", at + from, at + from + length).replace(/\0.*$/s, "");
    const name = text(0, 100);
    const bytes = Number.parseInt(text(124, 12), 8);
    const type = text(156, 1);
    if (name === "" || Number.isNaN(bytes)) return undefined; // The end, or no tar at all.
    const from = at + BLOCK;
    if ((type === "0" || type === "") && name.split("/").at(-1) === baseName) {
      return tar.subarray(from, from + bytes);
    }
    at = from + Math.ceil(bytes / BLOCK) * BLOCK;
  }
  return undefined;
}

async function download(url: string, answerTimeoutMs: number): Promise<Buffer> {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(new Error(`no answer in ${answerTimeoutMs} ms`)), answerTimeoutMs);
  try {
    const response = await fetch(url, { signal: abort.signal });
    clearTimeout(timer);
    timer = setTimeout(
      () => abort.abort(new Error(`not complete after ${DOWNLOAD_TIMEOUT_MS} ms`)),
      DOWNLOAD_TIMEOUT_MS,
    );
    if (!response.ok || !response.body) throw new Error(`${url} answered ${response.status}`);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > MAX_ARCHIVE_BYTES) throw new Error(`${url} is larger than ${MAX_ARCHIVE_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, bytes);
  } catch (error) {
    // fetch says "fetch failed" and keeps the reason (no such host, refused) in its cause.
    const { message, cause } = error as Error;
    throw new Error(cause instanceof Error ? `${message}: ${cause.message}` : message, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
