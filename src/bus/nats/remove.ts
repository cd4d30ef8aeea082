/**
 * Removing stored messages by subject.
 *
 * A purge by subject is one request, but no safe one beside consumers. On nats-server 2.9 it moves every consumer of
 * the stream past the stream's end and forgets what it had in hand. Later ones still do so to a consumer whose filter
 * covers what is purged, now and then, while messages come and go (seen on 2.10.27 and 2.15.1): tasks of other
 * dispatches stay stored, block their subject and are never delivered again once whoever held them dies. So what
 * lies in a work queue is deleted message by message, which touches nothing else.
 */
import type { SeqRange } from "../bus.ts";
import { ApiRefusal } from "./failure.ts";
import type { NatsLink } from "./link.ts";

/** Deletions under way at once. */
const AT_ONCE = 32;

/**
 * Removes what the filter matches, all of it or up to the range's end; before the range there is nothing. The eldest
 * message goes before any other, so that an interruption never leaves it without those that followed. Not for a stream
 * with a consumer whose filter covers this one.
 * @returns how many messages were removed.
 */
export async function removeMessages(
  link: NatsLink,
  stream: string,
  filter: string,
  range?: SeqRange,
): Promise<number> {
  if (purgeIsSafe(link.serverVersion)) {
    // The server keeps the sequence that it is given, and all after it.
    const bound = range === undefined ? {} : { seq: range.to + 1 };
    const { purged } = await link.api<{ purged: number }>(`STREAM.PURGE.${stream}`, { filter, ...bound });
    return purged;
  }
  return removeOneByOne(link, stream, filter, range);
}

/** As `removeMessages`, for a work queue. */
export async function removeOneByOne(
  link: NatsLink,
  stream: string,
  filter: string,
  range?: SeqRange,
): Promise<number> {
  let removed = 0;
  const deletions = new Set<Promise<void>>();
  // Step by step, not by a consumer: an older server looks through the whole stream to make one with a filter.
  // And never asking beyond the range, where it would look to the stream's end.
  const to = range?.to ?? Number.POSITIVE_INFINITY;
  for (let next = range?.from ?? 1; next <= to; ) {
    const message = await link.storedMessage(stream, { next_by_subj: filter, seq: Math.max(1, next) });
    if (message === undefined || message.seq > to) break;
    const { seq } = message;
    next = seq + 1;
    if (removed === 0 && (await deleteMessage(link, stream, seq))) {
      removed = 1;
      continue;
    }
    const deletion = deleteMessage(link, stream, seq).then((gone) => {
      if (gone) removed++;
    });
    deletions.add(deletion);
    void deletion.then(
      () => deletions.delete(deletion),
      () => undefined,
    );
    if (deletions.size >= AT_ONCE) await Promise.race(deletions);
  }
  await Promise.all(deletions);
  return removed;
}

function purgeIsSafe([major = 0, minor = 0]: number[]): boolean {
  return major > 2 || (major === 2 && minor >= 10);
}

async function deleteMessage(link: NatsLink, stream: string, seq: number): Promise<boolean> {
  try {
    await link.api(`STREAM.MSG.DELETE.${stream}`, { seq, no_erase: true });
    return true;
  } catch (error) {
    // Acked or removed by somebody else meanwhile.
    if (error instanceof ApiRefusal) return false;
    throw error;
  }
}
