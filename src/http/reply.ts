/** Writing an answer: JSON or the page's files, compressed where the client can and it is worth it. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";

const compress = promisify(gzip);
/** Below this, compressing costs more than it saves. */
const MIN_COMPRESSED_BYTES = 2_048;

export interface Reply {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

/** Sends a body; a HEAD request gets its headers only. */
export async function send(request: IncomingMessage, response: ServerResponse, reply: Reply): Promise<void> {
  let { body } = reply;
  const headers: Record<string, string | number> = { ...reply.headers };
  if (body.length >= MIN_COMPRESSED_BYTES && acceptsGzip(request)) {
    // The fastest level: most readers are near, and a trace of megabytes is asked for at once.
    body = await compress(body, { level: constants.Z_BEST_SPEED });
    headers["content-encoding"] = "gzip";
    headers.vary = "accept-encoding";
  }
  headers["content-length"] = body.length;
  response.writeHead(reply.status, headers);
  response.end(request.method === "HEAD" ? undefined : body);
}

export function acceptsGzip({ headers }: IncomingMessage): boolean {
  return /(^|[\s,])gzip\s*(;\s*q=(?!0(\.0*)?\s*(,|$))[\d.]+)?\s*(,|$)/.test(
    String(headers["accept-encoding"] ?? ""),
  );
}

/** JSON as the API writes it: bytes as base64. */
export function jsonBody(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, bytesAsBase64)}\n`);
}

function bytesAsBase64(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
}
