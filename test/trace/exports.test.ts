/**
 * Catches a Perfetto or OTLP export that its tools would refuse or show wrong: slices that overlap on a track,
 * arrows without an end, spans without a parent, ids that two exports do not agree on.
 */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { SpanIds } from "../../src/bus/span-ids.ts";
import { otlpDocument } from "../../src/trace/otlp.ts";
import { renderPerfetto } from "../../src/trace/perfetto.ts";
import { endOf, replay } from "../../src/trace/replay.ts";
import { START, sampleRecords } from "./sample-run.ts";

const NOW = START + 4_000;
const sample = () => replay("sample", sampleRecords());

const mark = z.object({ name: z.string(), pid: z.int(), tid: z.int().optional(), ts: z.int().min(0) });
const eventSchema = z.discriminatedUnion("ph", [
  mark.extend({
    ph: z.literal("X"),
    tid: z.int(),
    dur: z.int().min(0),
    args: z.record(z.string(), z.unknown()).optional(),
  }),
  z.object({ ph: z.literal("M"), name: z.string(), pid: z.int(), args: z.record(z.string(), z.unknown()) }),
  mark.extend({ ph: z.literal("C"), args: z.record(z.string(), z.number()) }),
  mark.extend({ ph: z.literal("i"), s: z.enum(["p", "t"]) }),
  mark.extend({ ph: z.literal("s"), id: z.string(), cat: z.string() }),
  mark.extend({ ph: z.literal("f"), id: z.string(), cat: z.string(), bp: z.literal("e") }),
  mark.extend({ ph: z.literal("b"), id: z.string(), cat: z.string() }),
  mark.extend({ ph: z.literal("e"), id: z.string(), cat: z.string() }),
]);
const perfettoSchema = z.object({ displayTimeUnit: z.enum(["ms", "ns"]), traceEvents: z.array(eventSchema) });

const perfetto = async () => perfettoSchema.parse(JSON.parse(renderPerfetto(await sample(), NOW)));
type Event = z.infer<typeof eventSchema>;
const only = <Phase extends Event["ph"]>(events: readonly Event[], phase: Phase) =>
  events.filter((event): event is Extract<Event, { ph: Phase }> => event.ph === phase);

describe("the Perfetto export", () => {
  it("draws every dispatch that an agent began, as long as it ran", async () => {
    const slices = only((await perfetto()).traceEvents, "X").filter(({ pid }) => pid > 1);
    expect(slices.map(({ name, ts, dur }) => [name, ts / 1_000, dur / 1_000])).toEqual([
      ["load", 100, 500],
      ["clean", 610, 390],
      ["model", 1_005, 495],
      ["model", 2_500, 500],
      ["report", 3_050, 950],
    ]);
  });

  it("never lets two slices of a track overlap", async () => {
    const tracks = new Map<string, number>();
    for (const { pid, tid, ts, dur } of only((await perfetto()).traceEvents, "X")) {
      expect(ts).toBeGreaterThanOrEqual(tracks.get(`${pid}/${tid}`) ?? 0);
      tracks.set(`${pid}/${tid}`, ts + dur);
    }
  });

  it("gives every arrow both its ends, in the order of time", async () => {
    const { traceEvents } = await perfetto();
    const ends = new Map(only(traceEvents, "f").map((event) => [event.id, event]));
    const starts = only(traceEvents, "s");
    expect(starts.map(({ name, id }) => `${name} ${id}`)).toEqual([
      "dependency load.1-clean.1",
      "dependency clean.1-model.1",
      "again model.1-model.2",
      "dependency model.2-report.1",
    ]);
    for (const { id, ts } of starts) expect(ends.get(id)?.ts).toBeGreaterThanOrEqual(ts);
    expect(ends.size).toBe(starts.length);
  });

  it("binds both ends of every arrow to a slice of their track, without which the UI draws none", async () => {
    const { traceEvents } = await perfetto();
    const slices = only(traceEvents, "X");
    for (const { id, pid, tid, ts } of [...only(traceEvents, "s"), ...only(traceEvents, "f")]) {
      const around = slices.filter((slice) => slice.pid === pid && slice.tid === tid);
      expect([id, around.some((slice) => slice.ts <= ts && ts <= slice.ts + slice.dur)]).toEqual([id, true]);
    }
  });

  it("names every process and track that it draws on, and every open wait by one that closes it", async () => {
    const { traceEvents } = await perfetto();
    const named = only(traceEvents, "M").map(({ name, pid, args }) => [name, pid, args.name]);
    for (const pid of new Set(traceEvents.map(({ pid }) => pid)))
      expect(named).toContainEqual(["process_name", pid, expect.any(String)]);
    const keyOf = ({ cat, id, pid }: { cat: string; id: string; pid: number }) => `${pid} ${cat} ${id}`;
    expect(only(traceEvents, "b").map(keyOf).sort()).toEqual(only(traceEvents, "e").map(keyOf).sort());
  });

  it("counts what waits and what runs of each role, down to what is still open", async () => {
    const counters = only((await perfetto()).traceEvents, "C");
    const last = new Map(counters.map(({ name, args }) => [name, args]));
    expect(Object.fromEntries(last)).toEqual({
      loader: { waiting: 0, running: 0 },
      cleaner: { waiting: 0, running: 0 },
      modeler: { waiting: 0, running: 0 },
      reporter: { waiting: 0, running: 1 },
    });
    for (const { args } of counters)
      for (const value of Object.values(args)) expect(value).toBeGreaterThanOrEqual(0);
  });

  it("closes every wait that it opens", async () => {
    const { traceEvents } = await perfetto();
    const closed = only(traceEvents, "e").map(({ id }) => id);
    expect(only(traceEvents, "b").map(({ id }) => id)).toEqual(closed);
    expect(closed).toContain("model.2");
  });

  it("keeps records that changed nothing in sight", async () => {
    expect(only((await perfetto()).traceEvents, "i").map(({ name }) => name)).toEqual(["late", "foreign"]);
  });
});

const attribute = z.object({
  key: z.string().min(1),
  value: z.union([
    z.strictObject({ stringValue: z.string() }),
    z.strictObject({ intValue: z.string().regex(/^-?\d+$/) }),
    z.strictObject({ doubleValue: z.number() }),
    z.strictObject({ boolValue: z.boolean() }),
  ]),
});
const nanos = z.string().regex(/^\d+$/);
const traceId = z.string().regex(/^[0-9a-f]{32}$/);
const spanId = z.string().regex(/^[0-9a-f]{16}$/);
const otlpSchema = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.strictObject({ attributes: z.array(attribute) }),
      scopeSpans: z.array(
        z.strictObject({
          scope: z.strictObject({ name: z.string() }),
          spans: z.array(
            z.strictObject({
              traceId,
              spanId,
              parentSpanId: spanId.optional(),
              name: z.string(),
              kind: z.int().min(1).max(5),
              startTimeUnixNano: nanos,
              endTimeUnixNano: nanos,
              attributes: z.array(attribute),
              events: z
                .array(
                  z.strictObject({ timeUnixNano: nanos, name: z.string(), attributes: z.array(attribute) }),
                )
                .optional(),
              links: z.array(z.strictObject({ traceId, spanId, attributes: z.array(attribute) })).optional(),
              status: z.strictObject({ code: z.int().min(0).max(2), message: z.string().optional() }),
            }),
          ),
        }),
      ),
    }),
  ),
});
const spansIn = (document: object) => otlpSchema.parse(document).resourceSpans[0]?.scopeSpans[0]?.spans ?? [];

describe("the OTLP export", () => {
  it("nests run, step and dispatch, each under one that exists and as long as it lasted", async () => {
    const spans = spansIn(otlpDocument(await sample(), NOW));
    const byId = new Map(spans.map((span) => [span.spanId, span]));
    expect(byId.size).toBe(spans.length);
    const path = (id: string | undefined): string => {
      const span = byId.get(id ?? "");
      return span === undefined ? "" : `${path(span.parentSpanId)}/${span.name}`;
    };
    expect(spans.map(({ spanId: id }) => path(id)).filter((text) => text.includes("model"))).toEqual([
      "/run sales/step model",
      "/run sales/step model/dispatch model #1",
      "/run sales/step model/dispatch model #2",
    ]);
    for (const span of spans) {
      expect(BigInt(span.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(span.startTimeUnixNano));
      if (span.parentSpanId !== undefined) expect(byId.has(span.parentSpanId)).toBe(true);
    }
  });

  it("is what a reader of the protobuf definitions takes: real ids, each attribute once, times in 64 bits", async () => {
    for (const span of spansIn(otlpDocument(await sample(), NOW))) {
      for (const id of [span.traceId, span.spanId, span.parentSpanId ?? "1"]) expect(id).not.toMatch(/^0+$/);
      for (const { attributes } of [span, ...(span.events ?? []), ...(span.links ?? [])]) {
        const keys = attributes.map(({ key }) => key);
        expect(new Set(keys).size).toBe(keys.length);
      }
      for (const time of [span.startTimeUnixNano, span.endTimeUnixNano]) {
        expect(BigInt.asUintN(64, BigInt(time))).toBe(BigInt(time));
        // Nanoseconds of this century, and not another unit of time.
        expect(new Date(Number(BigInt(time) / 1_000_000n)).getUTCFullYear()).toBe(
          new Date(START).getUTCFullYear(),
        );
      }
    }
  });

  it("tells failure from success, and says what is still open", async () => {
    const spans = spansIn(otlpDocument(await sample(), NOW));
    const codes = Object.fromEntries(spans.map(({ name, status }) => [name, status.code]));
    expect(codes).toMatchObject({
      "run sales": 0,
      "step load": 1,
      "dispatch model #1": 2,
      "dispatch model #2": 1,
    });
    const report = spans.find(({ name }) => name === "dispatch report #1");
    expect(report?.attributes).toContainEqual({ key: "datahammer.end", value: { stringValue: "open" } });
  });

  it("gives the same spans twice, and the ids that an agent was told", async () => {
    const trace = await sample();
    expect(otlpDocument(trace, NOW)).toEqual(otlpDocument(await sample(), NOW));
    const told = new SpanIds("sample", START).traceparent("model", 2);
    const span = spansIn(otlpDocument(trace, endOf(trace))).find(({ name }) => name === "dispatch model #2");
    expect(told).toBe(`00-${span?.traceId}-${span?.spanId}-01`);
  });

  it("puts a run under the caller's span, and one that was submitted again in a trace of its own", () => {
    const caller = new SpanIds("a", 1, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    expect(caller.traceId).toBe("0af7651916cd43dd8448eb211c80319c");
    expect(caller.caller?.spanId).toBe("b7ad6b7169203331");
    expect(new SpanIds("a", 1, "rubbish").caller).toBeUndefined();
    expect(new SpanIds("a", 1).traceId).not.toBe(new SpanIds("a", 2).traceId);
  });
});
