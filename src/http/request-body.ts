/** A request's body as JSON, within its bound (L8). */
import type { IncomingMessage } from "node:http";
import { InvalidInputError } from "../workflow/errors.ts";
import { HttpError } from "./problem.ts";

const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

/** @throws HttpError 413; InvalidInputError for what is no JSON */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > MAX_REQUEST_BYTES) throw tooLarge(announced);
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    const chunk = part as Buffer;
    bytes += chunk.length;
    if (bytes > MAX_REQUEST_BYTES) throw tooLarge(bytes);
    parts.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString("utf8"));
  } catch (cause) {
    throw new InvalidInputError("E_JSON", `the body is no JSON: ${(cause as Error).message}`, {
      remedy: "Send one JSON value.",
      cause,
    });
  }
}

function tooLarge(bytes: number): HttpError {
  return new HttpError(
    413,
    "E_REQUEST_TOO_LARGE",
    `the body has ${bytes} bytes, the bound is ${MAX_REQUEST_BYTES}`,
    {
      remedy: "Store large values with artifacts.put in a task, and send the reference.",
      headers: { connection: "close" },
      data: { bytes, maxBytes: MAX_REQUEST_BYTES },
    },
  );
}
