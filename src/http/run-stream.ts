/** Opening an event stream of one run: within the bound on streams, from where its client was. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import type { ApiContext } from "./api-context.ts";
import { EventStream } from "./event-stream.ts";
import { ANSWERED } from "./route.ts";
import type { RunReading } from "./run-reading.ts";

/** Query parameter `after` of a stream. */
export const resumeSchema = z.coerce
  .number()
  .int()
  .min(0)
  .default(0)
  .describe("The id of the last event that the client has; the header Last-Event-ID goes before it.");

export interface StreamRequest {
  run: string;
  after: number;
  request: IncomingMessage;
  response: ServerResponse;
}

/** @param feed tells what comes after the client's place @throws HttpError 503, NotFoundError, UnreachableError */
export async function openRunStream(
  { clock, library, slots }: ApiContext,
  { run, after, request, response }: StreamRequest,
  feed: (reading: RunReading, stream: EventStream, after: number) => void,
): Promise<typeof ANSWERED> {
  const given = Number(request.headers["last-event-id"] ?? Number.NaN);
  const release = slots.take();
  try {
    const { reading, release: giveBack } = await library.borrow(run);
    const stream = new EventStream(response, clock);
    stream.onClose(giveBack);
    stream.onClose(release);
    feed(reading, stream, Number.isSafeInteger(given) && given >= 0 ? given : after);
    return ANSWERED;
  } catch (error) {
    release();
    throw error;
  }
}
