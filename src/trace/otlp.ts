/**
 * A trace as OpenTelemetry spans, in OTLP's JSON form: run → step → dispatch.
 *
 * A collector takes it as it is (`POST /v1/traces`). Span ids are worked out from the log, so that exporting
 * twice gives the same spans. Source: opentelemetry-proto 1.x, `trace/v1`, JSON mapping.
 */

import { SpanIds } from "../bus/span-ids.ts";
import type { TransitionRecord } from "../fold/transition-record.ts";
import { paidSum } from "../workflow/budget.ts";
import { stepLabel } from "../workflow/derived-step.ts";
import { type Dispatch, dispatchTime } from "./dispatches.ts";
import { groupBy } from "./grouping.ts";
import type { Trace } from "./replay.ts";
import { nameOf } from "./view.ts";

type AttributeValue =
  | { stringValue: string }
  | { intValue: string }
  | { doubleValue: number }
  | { boolValue: boolean };
interface Attribute {
  key: string;
  value: AttributeValue;
}

interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  events?: { timeUnixNano: string; name: string; attributes: Attribute[] }[];
  links?: { traceId: string; spanId: string; attributes: Attribute[] }[];
  status: { code: number; message?: string };
}

const KIND = { internal: 1, producer: 4 } as const;
const STATUS = { unset: 0, ok: 1, error: 2 } as const;
/** Events of the step's machine after which its dispatch has not done what it was for. */
const WRONG_ENDS: ReadonlySet<string> = new Set(["fail", "refuse", "time out", "lose"]);

/** @param now epoch ms: when open spans end for this export; they say that they are open */
export function otlpDocument(trace: Trace, now: number): { resourceSpans: unknown[] } {
  const spans = spansOf(trace, now);
  const resource = {
    attributes: attributes({ "service.name": "datahammer", "service.namespace": trace.fold.run }),
  };
  return { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "datahammer" }, spans }] }] };
}

export function renderOtlp(trace: Trace, now: number): string {
  return `${JSON.stringify(otlpDocument(trace, now))}\n`;
}

function spansOf(trace: Trace, now: number): OtlpSpan[] {
  const { fold, transitions, dispatches } = trace;
  const startedAt = fold.startedAt ?? transitions[0]?.ts ?? now;
  const ids = new SpanIds(fold.run, startedAt, fold.submission?.traceparent);
  const byStep = groupBy(dispatches, ({ step }) => step);
  const moves = groupBy(transitions, ({ actor }) => actor);
  const spans: OtlpSpan[] = [runSpan(trace, ids, startedAt, now)];
  for (const [step, own] of byStep) {
    // A step that was skipped has no span that could be linked to.
    const sources = sourcesOf(fold, step).filter((source) => byStep.has(source));
    spans.push(stepSpan(trace, ids, step, own, moves.get(step) ?? [], sources, now));
    for (const dispatch of own) if (!dispatch.fannedOut) spans.push(dispatchSpan(trace, ids, dispatch, now));
  }
  return spans;
}

function runSpan(
  { fold, transitions, voids }: Trace,
  ids: SpanIds,
  startedAt: number,
  now: number,
): OtlpSpan {
  const { total: spent } = fold.spending;
  const moves = transitions.filter(({ kind }) => kind === "run");
  return {
    traceId: ids.traceId,
    spanId: ids.run,
    ...(ids.caller === undefined ? {} : { parentSpanId: ids.caller.spanId }),
    name: `run ${nameOf(fold)}`,
    kind: KIND.internal,
    startTimeUnixNano: nanos(startedAt),
    endTimeUnixNano: nanos(fold.ended ? (fold.endedAt ?? now) : Math.max(now, startedAt)),
    attributes: attributes({
      "datahammer.run": fold.run,
      "datahammer.workflow": nameOf(fold),
      "datahammer.status": fold.status,
      "datahammer.open": !fold.ended,
      "datahammer.dispatches": spent.dispatches,
      "datahammer.tokens": spent.tokens,
      "datahammer.usd": paidSum(spent.usd),
    }),
    events: [
      ...moves.map(moveEvent),
      ...voids.map(({ ts, seq, verdict, step, reason }) => ({
        timeUnixNano: nanos(ts),
        name: `changed nothing: ${verdict}`,
        attributes: attributes({
          "datahammer.seq": seq,
          "datahammer.step": step ?? "",
          "datahammer.cause": reason,
        }),
      })),
    ],
    status:
      fold.error === undefined ? { code: fold.ended ? STATUS.ok : STATUS.unset } : failed(fold.error.message),
  };
}

function stepSpan(
  { fold }: Trace,
  ids: SpanIds,
  step: string,
  own: readonly Dispatch[],
  moves: readonly TransitionRecord[],
  sources: readonly string[],
  now: number,
): OtlpSpan {
  const { context, state } = fold.step(step);
  const last = own.at(-1);
  const startedAt = own[0]?.readyAt ?? now;
  const error = context.failures.at(-1)?.error.message ?? last?.cause ?? "";
  const origin = fold.steps?.has(step) ? fold.steps.step(step).origin?.of : undefined;
  return {
    traceId: ids.traceId,
    spanId: ids.step(step),
    parentSpanId: origin === undefined ? ids.run : ids.step(origin),
    name: `step ${stepLabel(step)}`,
    kind: KIND.internal,
    startTimeUnixNano: nanos(startedAt),
    endTimeUnixNano: nanos(Math.max(startedAt, last?.endedAt ?? now)),
    attributes: attributes({
      "datahammer.run": fold.run,
      "datahammer.step": stepLabel(step),
      "datahammer.role": context.role,
      "datahammer.task": context.task,
      "datahammer.state": state,
      "datahammer.outcome": context.outcome ?? "",
      "datahammer.attempts": context.attempt,
    }),
    events: moves.map(moveEvent),
    links: sources.map((source) => ({
      traceId: ids.traceId,
      spanId: ids.step(source),
      attributes: attributes({ "datahammer.link": "depends on", "datahammer.step": source }),
    })),
    status: state === "failed" ? failed(error) : { code: state === "done" ? STATUS.ok : STATUS.unset },
  };
}

const sourcesOf = ({ steps }: Trace["fold"], step: string): readonly string[] =>
  steps?.has(step) ? steps.step(step).dependsOn : [];

function dispatchSpan({ fold, halts }: Trace, ids: SpanIds, span: Dispatch, now: number): OtlpSpan {
  const { step, n, attempt, role, task, agent, end, cause } = span;
  const time = dispatchTime(span, now, halts);
  const isWrong = end !== undefined && WRONG_ENDS.has(end);
  return {
    traceId: ids.traceId,
    spanId: ids.dispatch(step, n),
    parentSpanId: ids.step(step),
    name: `dispatch ${stepLabel(step)} #${n}`,
    kind: KIND.producer,
    startTimeUnixNano: nanos(span.readyAt),
    endTimeUnixNano: nanos(Math.max(span.readyAt, span.endedAt ?? now)),
    attributes: attributes({
      "datahammer.run": fold.run,
      "datahammer.step": stepLabel(step),
      "datahammer.dispatch": n,
      "datahammer.attempt": attempt,
      "datahammer.role": role,
      "datahammer.task": task,
      "datahammer.agent": agent ?? "",
      "datahammer.end": end ?? "open",
      "datahammer.outside_ms": time.outsideMs,
      "datahammer.back_off_ms": time.backOffMs,
      "datahammer.paused_ms": time.pausedMs,
      "datahammer.slot_ms": time.slotMs,
      "datahammer.daemon_ms": time.daemonMs,
      "datahammer.agent_ms": time.agentMs,
      "datahammer.run_ms": time.runMs,
    }),
    events:
      span.startedAt === undefined
        ? []
        : [{ timeUnixNano: nanos(span.startedAt), name: "started", attributes: [] }],
    status: isWrong ? failed(cause) : { code: end === undefined ? STATUS.unset : STATUS.ok },
  };
}

function moveEvent({ ts, seq, from, to, cause }: TransitionRecord) {
  return {
    timeUnixNano: nanos(ts),
    name: `${from} → ${to}`,
    attributes: attributes({ "datahammer.seq": seq, "datahammer.cause": cause }),
  };
}

const failed = (message: string) => ({ code: STATUS.error, message });

/** Milliseconds as the decimal string of nanoseconds that OTLP's JSON wants. */
const nanos = (epochMs: number): string => `${Math.round(epochMs)}000000`;

/** Empty texts are left out. */
function attributes(values: Readonly<Record<string, string | number | boolean>>): Attribute[] {
  return Object.entries(values).flatMap(([key, value]) =>
    value === "" ? [] : [{ key, value: attributeValue(value) }],
  );
}

function attributeValue(value: string | number | boolean): AttributeValue {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
