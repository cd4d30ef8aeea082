/**
 * Publishing to a stream and understanding its answer.
 *
 * A publish that gets no answer may or may not be stored. Here that is settled for work queues, whose
 * subjects refuse a second message; the log settles it for itself.
 */
import type { MsgHdrs } from "nats";
import { UnreachableError } from "../../workflow/errors.ts";
import { ApiRefusal } from "./failure.ts";
import { headersOf, type NatsLink } from "./link.ts";

export interface StreamAnswer {
  stream: string;
  seq: number;
  duplicate?: boolean;
}

/** Tries of one publish before its caller is told that the broker cannot be reached. */
export const PUBLISH_TRIES = 5;

/** @throws ApiRefusal when the stream refuses, UnreachableError when it does not answer. */
export async function publishToStream(
  link: NatsLink,
  subject: string,
  bytes: Uint8Array,
  headers?: MsgHdrs,
): Promise<StreamAnswer> {
  const message = await link.request(subject, bytes, undefined, headers).catch((error: unknown) => {
    if (error instanceof UnreachableError && error.code === "E_TIMEOUT") link.storage.unanswered();
    throw error;
  });
  const answer = message.json<
    StreamAnswer & { error?: { code?: number; err_code?: number; description?: string } }
  >();
  if (answer.error !== undefined) {
    const refusal = new ApiRefusal(subject, answer.error);
    if (refusal.isFull) link.storage.refused(refusal.message);
    throw refusal;
  }
  link.storage.stored();
  return answer;
}

/**
 * Publishes where the subject itself is the guard (B3). No message id: an id that was seen within the last
 * two minutes would be answered `duplicate` and store nothing, although the task has long been taken.
 */
export async function publishOnce(
  link: NatsLink,
  subject: string,
  bytes: Uint8Array,
  headers?: Readonly<Record<string, string>>,
): Promise<"queued" | "present"> {
  for (let attempt = 1; ; attempt++) {
    try {
      await publishToStream(link, subject, bytes, headers && headersOf(headers));
      return "queued";
    } catch (error) {
      if (error instanceof ApiRefusal && error.isPresent) return "present";
      // Not answered: if it was stored all the same, the next try is refused as present.
      const again = error instanceof UnreachableError && attempt < PUBLISH_TRIES && error.code !== "E_CLOSED";
      if (!again || error.code === "E_NO_SWARM") throw error;
    }
  }
}
