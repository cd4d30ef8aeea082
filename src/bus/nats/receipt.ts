/**
 * The reply subject of a JetStream message: what it says, and what may be sent to it.
 *
 * Two shapes exist: `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`,
 * and the newer one with domain and account hash in front of the stream.
 */
import type { Msg } from "nats";

/** A message with what its reply subject says. */
export interface PulledMessage {
  subject: string;
  data: Uint8Array;
  /** Where acks go. */
  receipt: string;
  deliveryCount: number;
  streamSeq: number;
  consumerSeq: number;
  /** Storage time in epoch ms. */
  ts: number;
  /** Messages that match the consumer and were not delivered yet. */
  pending: number;
}

const SHORT_TOKENS = 9;
const LONG_TOKENS = 11;

export const ACK = "+ACK";
export const WORKING = "+WPI";
export const TERM = "+TERM";
export const nak = (delayMs: number): string =>
  `-NAK {"delay": ${Math.max(1, Math.round(delayMs)) * 1_000_000}}`;

/** @returns undefined when the message was not delivered by a consumer. */
export function readReceipt(message: Msg): PulledMessage | undefined {
  const receipt = message.reply;
  if (receipt === undefined || !receipt.startsWith("$JS.ACK.")) return undefined;
  const tokens = receipt.split(".");
  const at = tokens.length >= LONG_TOKENS ? 6 : tokens.length === SHORT_TOKENS ? 4 : -1;
  if (at < 0) return undefined;
  const [deliveries, streamSeq, consumerSeq, time, pending] = tokens.slice(at, at + 5);
  return {
    subject: message.subject,
    data: message.data,
    receipt,
    deliveryCount: Number(deliveries),
    streamSeq: Number(streamSeq),
    consumerSeq: Number(consumerSeq),
    // Nanoseconds do not fit a double exactly; milliseconds do.
    ts: Math.floor(Number(time) / 1_000_000),
    pending: Number(pending),
  };
}
