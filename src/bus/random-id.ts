/** Randomness for names, from the machine; whoever must be repeatable is handed another source (L7). */
import { randomBytes } from "node:crypto";

/** 96 random bits as 16 characters that fit an id. */
export function randomId(): string {
  return randomBytes(12).toString("base64url");
}
