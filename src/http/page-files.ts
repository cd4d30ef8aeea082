/**
 * The inspector page's files, from memory: read once, compressed once, known by their hash.
 *
 * A browser asks each time whether its copy is still right (`no-cache` with an ETag), so that a new version of
 * the daemon never meets half of an old page.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { extname, join } from "node:path";
import { constants, gzipSync } from "node:zlib";
import { acceptsGzip } from "./reply.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
};

/** Nothing from elsewhere, nothing inline, no frames: what a value of a run contains stays text. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

interface PageFile {
  type: string;
  tag: string;
  plain: Buffer;
  gzipped: Buffer;
}

export class PageFiles {
  readonly #files: ReadonlyMap<string, PageFile>;

  constructor(folder: string | undefined = builtFolder()) {
    const names = folder === undefined ? [] : readdirSync(folder);
    this.#files = new Map(names.map((name) => [name, load(join(folder ?? "", name))]));
  }

  /** Answers a path of the page. False: it is none. */
  serve(request: IncomingMessage, response: ServerResponse, path: string): boolean {
    const name = isView(path) ? "index.html" : path.startsWith("/assets/") ? path.slice(8) : undefined;
    if (name === undefined) return false;
    const file = this.#files.get(name);
    if (file === undefined) {
      if (name !== "index.html") return false;
      const text = "The inspector page is not built: run `npm run build` and start the daemon again.\n";
      response.writeHead(503, { "content-type": "text/plain; charset=utf-8" });
      response.end(text);
      return true;
    }
    const headers = {
      etag: file.tag,
      "cache-control": "no-cache",
      "content-security-policy": CONTENT_SECURITY_POLICY,
      "referrer-policy": "no-referrer",
      vary: "accept-encoding",
    };
    if (request.headers["if-none-match"] === file.tag) {
      response.writeHead(304, headers);
      response.end();
      return true;
    }
    const zipped = acceptsGzip(request);
    const body = zipped ? file.gzipped : file.plain;
    response.writeHead(200, {
      ...headers,
      "content-type": file.type,
      "content-length": body.length,
      ...(zipped ? { "content-encoding": "gzip" } : {}),
    });
    response.end(request.method === "HEAD" ? undefined : body);
    return true;
  }
}

/** Addresses that the page itself makes sense of. */
function isView(path: string): boolean {
  return path === "/" || /^\/(runs|agents|submit)(\/|$)/.test(path);
}

function load(path: string): PageFile {
  const plain = readFileSync(path);
  return {
    type: TYPES[extname(path)] ?? "application/octet-stream",
    tag: `"${createHash("sha256").update(plain).digest("base64url").slice(0, 22)}"`,
    plain,
    gzipped: gzipSync(plain, { level: constants.Z_BEST_COMPRESSION }),
  };
}

/** Beside the compiled sources in a package; in a working copy, where the build puts it. */
function builtFolder(): string | undefined {
  const candidates = ["../../inspector", "../../dist/inspector"];
  return candidates
    .map((path) => join(import.meta.dirname, path))
    .find((path) => existsSync(join(path, "index.html")));
}
