/** The wait before the next attempt: exponential with jitter that every reader of the log agrees on. */
import type { RetryPolicy } from "../workflow/document.ts";

/**
 * @param attempt the attempt that will follow: 2 is the first retry
 * @param seed names the attempt; the same seed gives the same jitter, so that replays agree (L1)
 * @returns milliseconds
 */
export function retryDelayMs(policy: RetryPolicy, attempt: number, seed: string): number {
  const grown = policy.initialMs * policy.factor ** (attempt - 2);
  const bounded = Math.min(grown, policy.maxMs);
  const spread = (fraction(seed) * 2 - 1) * policy.jitter;
  return Math.round(bounded * (1 + spread));
}

/** FNV-1a with a final mix, as a number in [0, 1): spreads well for seeds that differ in one character. */
function fraction(seed: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < seed.length; i += 1) hash = Math.imul(hash ^ seed.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
