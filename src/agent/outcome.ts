/**
 * What became of a task's code, in the words of the wire: errors bounded and classified, never a stack.
 *
 * A stack names files of the agent's machine and has no bound; it belongs in the agent's own log.
 */
import type { z } from "zod";
import { encodeBody } from "../bus/codec.ts";
import type { WireError } from "../bus/messages.ts";
import { DataHammerError, InvalidInputError, NonRetryableError } from "../workflow/errors.ts";

/** Bounds of an error's text on the wire (L8). */
export const MAX_ERROR_MESSAGE_BYTES = 4 * 1024;
const MAX_ERROR_NAME_CHARS = 128;
/** Bound of what travels with a handoff beside its inputs (L8): eight of them still fit one task. */
const MAX_NOTES_BYTES = 16 * 1024;

/** An error that the host itself reports for a dispatch. */
export function hostError(code: string, message: string, options: { retryable: boolean }): WireError {
  return { name: "AgentError", code, message: boundText(message), retryable: options.retryable };
}

/**
 * An error thrown by a task's code, whatever was thrown. Retryable unless it says otherwise: by the name
 * `NonRetryableError` (by name, so that it works across module copies), or because an input can never work.
 */
export function thrownError(thrown: unknown): WireError {
  if (!(thrown instanceof Error)) {
    return { name: "ThrownValue", message: boundText(`the task threw ${describe(thrown)}`), retryable: true };
  }
  const code = "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
  const remedy = thrown instanceof DataHammerError && thrown.remedy !== undefined ? ` ${thrown.remedy}` : "";
  return {
    name: String(thrown.name).slice(0, MAX_ERROR_NAME_CHARS),
    message: boundText(`${thrown.message}${remedy}`),
    retryable: !isNonRetryable(thrown) && !(thrown instanceof InvalidInputError),
    ...(code === undefined ? {} : { code: code.slice(0, MAX_ERROR_NAME_CHARS) }),
  };
}

/** By its class, for subclasses with a name of their own, or by name, across copies of the module. */
function isNonRetryable(thrown: Error): boolean {
  return thrown instanceof NonRetryableError || thrown.name === "NonRetryableError";
}

/** Says where a value does not match its schema: the dotted path first, at most three places. */
export function schemaProblem(side: "inputs" | "outputs", error: z.ZodError): string {
  const places = error.issues.slice(0, 3).map((issue) => {
    const path = [side, ...issue.path.map(String)].join(".");
    return `${path}: ${issue.message}`;
  });
  const more = error.issues.length - places.length;
  return `${places.join("; ")}${more > 0 ? ` (and ${more} more)` : ""}`;
}

/** Why notes cannot travel with a handoff; undefined when they can. */
export function notesProblem(notes: unknown): string | undefined {
  if (notes === undefined) return undefined;
  try {
    const { length } = encodeBody({ notes });
    if (length <= MAX_NOTES_BYTES) return undefined;
    return `the notes of the handoff have ${length} bytes, the bound is ${MAX_NOTES_BYTES}; put them into its inputs`;
  } catch (error) {
    return `the notes of the handoff cannot be encoded: ${(error as Error).message}`;
  }
}

/** Cuts a text to the wire's bound without splitting a character. */
export function boundText(text: string): string {
  if (Buffer.byteLength(text) <= MAX_ERROR_MESSAGE_BYTES) return text;
  const mark = "… (cut)";
  const room = MAX_ERROR_MESSAGE_BYTES - Buffer.byteLength(mark);
  let end = room;
  const bytes = Buffer.from(text);
  // A UTF-8 continuation byte starts with 10: step back to the character's first byte.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end).toString() + mark;
}

function describe(value: unknown): string {
  try {
    return typeof value === "string" ? `"${value}"` : `${typeof value} ${String(value)}`;
  } catch {
    // An object without a prototype, or with a toString that throws, has no text.
    return `a ${typeof value} that has no text`;
  }
}
