/**
 * The span of a task's code, for OpenTelemetry: under its dispatch's span, and active while the code runs, so
 * that what the code calls goes under it.
 *
 * Owns no exporter. Where the process has registered none, the API does nothing, and a task without a trace
 * context costs nothing at all.
 */
import { ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, TraceFlags, trace } from "@opentelemetry/api";
import type { TaskMessage } from "../bus/messages.ts";
import { parseTraceparent } from "../bus/span-ids.ts";
import { SecretMask } from "../workflow/secrets.ts";
import { maskedError } from "./masked-log.ts";

/** Runs a task's code within its span. What the code throws, or rejects with, goes through. */
export async function inTaskSpan<Value>(
  task: TaskMessage,
  agent: string,
  code: () => Value | Promise<Value>,
): Promise<Value> {
  const dispatch = parseTraceparent(task.traceparent);
  if (dispatch === undefined) return code();
  const parent = trace.setSpanContext(ROOT_CONTEXT, {
    ...dispatch,
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
  });
  const attributes = {
    "datahammer.run": task.run,
    "datahammer.step": task.step,
    "datahammer.dispatch": task.n,
    "datahammer.attempt": task.attempt,
    "datahammer.role": task.role,
    "datahammer.task": task.task,
    "datahammer.agent": agent,
  };
  const tracer = trace.getTracer("datahammer");
  const name = `${task.role}/${task.task}`;
  return tracer.startActiveSpan(name, { kind: SpanKind.CONSUMER, attributes }, parent, async (span) => {
    try {
      return await code();
    } catch (thrown) {
      noteFailure(span, thrown, task);
      throw thrown;
    } finally {
      span.end();
    }
  });
}

function noteFailure(span: Span, thrown: unknown, { secrets }: TaskMessage): void {
  const told = thrown instanceof Error ? thrown : new Error(String(thrown));
  const error = secrets === undefined ? told : maskedError(told, SecretMask.ofTexts(secrets));
  span.recordException(error);
  span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
}
