/**
 * The stream of a run whose log is still being read. Catches: a page that is told nothing until a long log has been
 * read whole, one that is told that it knows all before it does, records that are told twice or not at all on the
 * way, and a stream that stays open without a word when the log cannot be read.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { type ApiContext, StreamSlots } from "../../src/http/api-context.ts";
import type { RecordsEvent } from "../../src/http/api-events.ts";
import { RunFeed } from "../../src/http/run-feed.ts";
import { openRunStream } from "../../src/http/run-stream.ts";
import { settle, slowLog, workflow } from "./slow-log.ts";
import { StalledResponse } from "./stalled-response.ts";

/** Longer than a feed gathers records. */
const GATHERED_MS = 100;

async function streamed() {
  const log = slowLog(workflow, true);
  const response = new StalledResponse();
  const context = { ...log, slots: new StreamSlots() } as unknown as ApiContext;
  const request = { headers: {} } as IncomingMessage;
  const opened = openRunStream(
    context,
    { run: "r1", after: 0, request, response: response as unknown as ServerResponse },
    (reading, stream, after) => new RunFeed(context, reading, stream, after),
  );
  await settle();
  log.tell(log.records[0]);
  await opened;
  const told = (event: string): unknown[] =>
    response.written
      .filter((text) => text.includes(`event: ${event}\n`))
      .map((text) => JSON.parse(text.slice(text.indexOf("data: ") + 6)) as unknown);
  return { ...log, response, told, records: log.records };
}

describe("the stream of a run whose log is still being read", () => {
  it("tells what was read so far, the rest once, and only then that this was all", async () => {
    const { records, tell, finish, clock, told } = await streamed();
    expect(told("records")).toHaveLength(1);
    for (const record of records.slice(1)) {
      tell(record);
      await clock.advance(GATHERED_MS);
      expect((told("records").at(-1) as RecordsEvent).seq).toBe(record.seq);
      expect(told("ready")).toEqual([]);
    }
    finish();
    await settle();
    const last = records.at(-1)?.seq;
    expect(told("ready")).toEqual([{ seq: last }]);
    const events = told("records") as RecordsEvent[];
    const seqs = events.flatMap(({ transitions }) => transitions.map(({ seq }) => seq));
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    expect(events.flatMap(({ transitions }) => transitions).filter(({ to }) => to === "done")).toHaveLength(
      3,
    );
    expect(events.at(-1)).toMatchObject({ status: "done", seq: last });
  });

  it("says with each event when the workflow was changed last", async () => {
    const { records, tell, clock, told } = await streamed();
    tell(records[1]);
    await clock.advance(GATHERED_MS);
    const first = records[0]?.seq;
    expect(told("records")).toMatchObject([
      { graph: true, graphSeq: first },
      { graph: false, graphSeq: first },
    ]);
  });

  it("is told that all is told only when its client has read it", async () => {
    const { records, tell, finish, response, told } = await streamed();
    response.writableNeedDrain = true;
    for (const record of records.slice(1)) tell(record);
    finish();
    await settle();
    expect(told("ready")).toEqual([]);
    response.read();
    expect(told("ready")).toEqual([{ seq: records.at(-1)?.seq }]);
  });

  it("is cut when the rest of the log cannot be read, and says why", async () => {
    const { response, clock, told } = await streamed();
    await clock.advance(30_000);
    expect(told("cut")).toMatchObject([{ code: "E_BROKER_AWAY" }]);
    expect(response.ended).toBe(true);
  });
});
