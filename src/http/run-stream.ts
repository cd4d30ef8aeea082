/**
 * Opening an event stream of one run: within the bound on streams, from where its client was, and at once: what a
 * long log says is told while it is being read.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import type { ApiContext } from "./api-context.ts";
import { EventStream } from "./event-stream.ts";
import { problemOf } from "./problem.ts";
import { acceptsGzip } from "./reply.ts";
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

export interface Feed {
  /** The log was read to the end that it had when the stream was opened. */
  onRead(): void;
}

/** @param open makes what tells all that comes after the client's place @throws HttpError 503, NotFoundError, UnreachableError */
export async function openRunStream(
  { clock, library, slots }: ApiContext,
  { run, after, request, response }: StreamRequest,
  open: (reading: RunReading, stream: EventStream, after: number) => Feed,
): Promise<typeof ANSWERED> {
  const given = Number(request.headers["last-event-id"] ?? Number.NaN);
  const release = slots.take();
  try {
    const { reading, release: giveBack } = await library.borrow(run);
    const stream = new EventStream(response, clock, { gzip: acceptsGzip(request) });
    stream.onClose(giveBack);
    stream.onClose(release);
    const feed = open(reading, stream, Number.isSafeInteger(given) && given >= 0 ? given : after);
    reading.read().then(
      () => feed.onRead(),
      (error: unknown) => {
        const { code, detail } = problemOf(error);
        stream.cut(code, detail);
      },
    );
    return ANSWERED;
  } catch (error) {
    release();
    throw error;
  }
}
