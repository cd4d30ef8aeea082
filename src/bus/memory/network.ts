/**
 * How messages of the memory bus travel: encoded, one after the other, never within the sender's call.
 *
 * A test hands in its own `deliver` to lose, double, delay or reorder them; what was stored is stored.
 */
export interface Parcel {
  /** `record`: a live copy of the log; `task`: a delivery to a puller; `core`: everything else. */
  kind: "record" | "task" | "core";
  subject: string;
  /** Who it goes to: the party named when connecting, or nothing. */
  to: string;
}

/** Calls `arrive` once, later, in order; a test may call it never, twice, or in another order. */
export type Deliver = (parcel: Parcel, arrive: () => void) => void;

export const deliverAtOnce: Deliver = (_parcel, arrive) => queueMicrotask(arrive);
