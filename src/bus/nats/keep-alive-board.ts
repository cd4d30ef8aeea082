/**
 * The board on which held tasks stand, in memory shared between the thread that runs tasks and the thread
 * that keeps them.
 *
 * Putting a task on the board is a handful of plain writes: no message, no waiting, nothing that a blocked
 * event loop could delay. The reader looks at the board by itself. One writer, any number of readers.
 *
 *  - K1 A slot's sequence is odd while it is written, and grows with every change; a reader that sees it
 *    odd, or different before and after its copy, looks again later (a sequence lock).
 *  - K2 A held task is first due a whole interval after it was put up, so a reader that looks three times
 *    an interval never misses one.
 *
 * Times are of `process.hrtime`, the one monotonic clock that all threads of a process share.
 */

/** Slots in one piece of shared memory; more pieces are added when all are taken. */
export const SLOTS_PER_SEGMENT = 256;
const SLOT_BYTES = 512;
const SLOT_INTS = SLOT_BYTES / 4;
const SLOT_FLOATS = SLOT_BYTES / 8;
// Int32 fields of a slot.
const SEQUENCE = 0;
const LENGTH = 1;
const INTERVAL_MS = 2;
// Float64 fields of a slot.
const HELD_AT = 2;
const ENDS_AT = 3;
const TEXT_OFFSET = 32;
/** The longest receipt that fits; the longest that NATS makes for names of ours is under 400. */
export const MAX_RECEIPT_BYTES = SLOT_BYTES - TEXT_OFFSET;

export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** One piece of the board, as either side sees it. */
class Segment {
  readonly ints: Int32Array;
  readonly floats: Float64Array;
  readonly bytes: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.ints = new Int32Array(memory);
    this.floats = new Float64Array(memory);
    this.bytes = new Uint8Array(memory);
  }
}

/** The side of the thread that runs tasks. */
export class KeepAliveBoard {
  readonly memory: SharedArrayBuffer[] = [];
  readonly #segments: Segment[] = [];
  readonly #free: number[] = [];
  readonly #slots = new Map<string, number>();
  readonly #encoder = new TextEncoder();
  readonly #onGrowth: (memory: SharedArrayBuffer) => void;

  /** @param onGrowth called with every piece added after the first */
  constructor(onGrowth: (memory: SharedArrayBuffer) => void) {
    this.#onGrowth = onGrowth;
    this.#grow();
  }

  /** Puts a task up, or changes its terms. */
  put(receipt: string, intervalMs: number, endsAt: number, now: number): void {
    let slot = this.#slots.get(receipt);
    if (slot === undefined) {
      if (this.#free.length === 0) this.#onGrowth(this.#grow());
      slot = this.#free.pop() as number;
      this.#slots.set(receipt, slot);
    }
    const { segment, at } = this.#locate(slot);
    const { ints, floats, bytes } = segment;
    Atomics.add(ints, at * SLOT_INTS + SEQUENCE, 1); // K1
    const text = bytes.subarray(at * SLOT_BYTES + TEXT_OFFSET, (at + 1) * SLOT_BYTES);
    const { read, written } = this.#encoder.encodeInto(receipt, text);
    // A receipt that was cut would keep nothing: better none, and the broker's redelivery as the remedy.
    ints[at * SLOT_INTS + LENGTH] = read === receipt.length ? written : 0;
    ints[at * SLOT_INTS + INTERVAL_MS] = Math.max(1, Math.floor(intervalMs));
    floats[at * SLOT_FLOATS + HELD_AT] = now;
    floats[at * SLOT_FLOATS + ENDS_AT] = endsAt;
    Atomics.add(ints, at * SLOT_INTS + SEQUENCE, 1);
  }

  remove(receipt: string): void {
    const slot = this.#slots.get(receipt);
    if (slot === undefined) return;
    this.#slots.delete(receipt);
    const { segment, at } = this.#locate(slot);
    Atomics.add(segment.ints, at * SLOT_INTS + SEQUENCE, 1); // K1
    segment.ints[at * SLOT_INTS + LENGTH] = 0;
    Atomics.add(segment.ints, at * SLOT_INTS + SEQUENCE, 1);
    this.#free.push(slot);
  }

  #grow(): SharedArrayBuffer {
    const memory = new SharedArrayBuffer(SLOTS_PER_SEGMENT * SLOT_BYTES);
    const first = this.#segments.length * SLOTS_PER_SEGMENT;
    this.memory.push(memory);
    this.#segments.push(new Segment(memory));
    for (let slot = first + SLOTS_PER_SEGMENT - 1; slot >= first; slot--) this.#free.push(slot);
    return memory;
  }

  #locate(slot: number): { segment: Segment; at: number } {
    const segment = this.#segments[Math.floor(slot / SLOTS_PER_SEGMENT)] as Segment;
    return { segment, at: slot % SLOTS_PER_SEGMENT };
  }
}

/** The side of the thread that keeps tasks: finds who is due. */
export class KeepAliveRounds {
  readonly #segments: { segment: Segment; seen: Int32Array; lastAt: Float64Array }[] = [];
  readonly #decoder = new TextDecoder();

  add(memory: SharedArrayBuffer): void {
    this.#segments.push({
      segment: new Segment(memory),
      seen: new Int32Array(SLOTS_PER_SEGMENT),
      lastAt: new Float64Array(SLOTS_PER_SEGMENT),
    });
  }

  /**
   * Calls `send` for every task that is due.
   * @returns when the next one is due, Infinity when none is held.
   */
  go(now: number, send: (receipt: string) => void): number {
    let nextAt = Number.POSITIVE_INFINITY;
    for (const { segment, seen, lastAt } of this.#segments) {
      for (let at = 0; at < SLOTS_PER_SEGMENT; at++) {
        const slot = this.#read(segment, at);
        if (slot === undefined || now >= slot.endsAt) continue;
        if (seen[at] !== slot.sequence) {
          // Another task than at the last round, or new terms.
          seen[at] = slot.sequence;
          lastAt[at] = slot.heldAt; // K2
        }
        let dueAt = (lastAt[at] as number) + slot.intervalMs;
        if (now >= dueAt) {
          const receipt = this.#receipt(segment, at, slot);
          if (receipt === undefined) continue;
          send(receipt);
          lastAt[at] = now;
          dueAt = now + slot.intervalMs;
        }
        nextAt = Math.min(nextAt, dueAt);
      }
    }
    return nextAt;
  }

  /** How many tasks are on the board. */
  held(): number {
    let held = 0;
    for (const { segment } of this.#segments) {
      for (let at = 0; at < SLOTS_PER_SEGMENT; at++) if (this.#read(segment, at) !== undefined) held++;
    }
    return held;
  }

  #read({ ints, floats }: Segment, at: number) {
    const sequence = Atomics.load(ints, at * SLOT_INTS + SEQUENCE);
    const length = ints[at * SLOT_INTS + LENGTH] as number;
    if (length === 0 || (sequence & 1) === 1) return undefined; // K1
    const slot = {
      sequence,
      length,
      intervalMs: ints[at * SLOT_INTS + INTERVAL_MS] as number,
      heldAt: floats[at * SLOT_FLOATS + HELD_AT] as number,
      endsAt: floats[at * SLOT_FLOATS + ENDS_AT] as number,
    };
    return Atomics.load(ints, at * SLOT_INTS + SEQUENCE) === sequence ? slot : undefined; // K1
  }

  #receipt(
    { ints, bytes }: Segment,
    at: number,
    slot: { sequence: number; length: number },
  ): string | undefined {
    const from = at * SLOT_BYTES + TEXT_OFFSET;
    // A decoder does not take shared memory, and the copy is what the sequence is checked for.
    const receipt = this.#decoder.decode(bytes.slice(from, from + slot.length));
    return Atomics.load(ints, at * SLOT_INTS + SEQUENCE) === slot.sequence ? receipt : undefined; // K1
  }
}
