/** The machine's own clock and randomness, for processes; tests and simulations bring theirs (L7). */
import { randomBytes } from "node:crypto";
import type { Clock } from "./bus.ts";

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

/** 96 random bits as 16 characters that fit an id. */
export function randomId(): string {
  return randomBytes(12).toString("base64url");
}
