/**
 * One client's event stream, without a network. Catches: a client that reads nothing and fills the daemon's
 * memory, a cut that does not say why, a stream whose timers, or whose place among the streams, outlive it, and an
 * event that is kept back until there is enough to compress.
 */
import type { ServerResponse } from "node:http";
import { PassThrough } from "node:stream";
import { createGunzip } from "node:zlib";
import { describe, expect, it } from "vitest";
import { EventStream } from "../../src/http/event-stream.ts";
import { ManualClock } from "../agent/stage.ts";
import { StalledResponse } from "./stalled-response.ts";

function opened(response = new StalledResponse()): {
  stream: EventStream;
  response: StalledResponse;
  clock: ManualClock;
} {
  const clock = new ManualClock();
  // The parts of a response that the stream uses.
  const stream = new EventStream(response as unknown as ServerResponse, clock);
  return { stream, response, clock };
}

describe("an event stream", () => {
  it("is not ready while its client is behind, and says when it is again", () => {
    const { stream, response } = opened();
    let told = 0;
    stream.onReady(() => {
      told += 1;
    });
    response.writableNeedDrain = true;
    stream.send("records", { seq: 1 }, 1);
    expect([stream.ready, told]).toEqual([false, 0]);
    response.read();
    expect([stream.ready, told]).toEqual([true, 1]);
  });

  it("is cut when its client reads nothing for half a minute, and says why", async () => {
    const { stream, response, clock } = opened();
    let closed = false;
    stream.onClose(() => {
      closed = true;
    });
    response.writableNeedDrain = true;
    stream.send("records", { seq: 1 }, 1);
    await clock.advance(29_000);
    expect(response.ended).toBe(false);
    await clock.advance(2_000);
    expect([response.ended, closed]).toEqual([true, true]);
    expect(response.written.at(-1)).toMatch(/^event: cut\ndata: .*E_SLOW_CLIENT.*Last-Event-ID/);
  });

  it("is kept when its client reads in time", async () => {
    const { stream, response, clock } = opened();
    response.writableNeedDrain = true;
    stream.send("records", { seq: 1 }, 1);
    await clock.advance(20_000);
    response.read();
    await clock.advance(60_000);
    expect(response.ended).toBe(false);
  });

  it("that is opened for a client which has left gives back at once what it would hold", async () => {
    const gone = new StalledResponse();
    gone.destroyed = true;
    const { stream, clock } = opened(gone);
    let givenBack = 0;
    stream.onClose(() => {
      givenBack += 1;
    });
    stream.send("records", { seq: 1 }, 1);
    expect([givenBack, stream.ready, gone.written, clock.pending()]).toEqual([1, false, [], 0]);
  });

  it("says now and then that it is still there, and leaves no timer when it is closed", async () => {
    const { response, clock } = opened();
    await clock.advance(16_000);
    expect(response.written).toContain("event: here\ndata: {}\n\n");
    response.emit("close");
    expect(clock.pending()).toBe(0);
  });

  it("sends each event at once where it is compressed", async () => {
    const wire = Object.assign(new PassThrough(), { writeHead: () => undefined });
    const stream = new EventStream(wire as unknown as ServerResponse, new ManualClock(), { gzip: true });
    const read = wire.pipe(createGunzip()).setEncoding("utf8")[Symbol.asyncIterator]();
    expect((await read.next()).value).toBe("retry: 1000\n\n");
    for (const seq of [1, 2]) {
      stream.send("records", { seq }, seq);
      expect((await read.next()).value).toBe(`id: ${seq}\nevent: records\ndata: {"seq":${seq}}\n\n`);
    }
    stream.cut("E_TEST", "enough");
    expect((await read.next()).value).toMatch(/^event: cut\n/);
    expect((await read.next()).done).toBe(true);
  });
});
