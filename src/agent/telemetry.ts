/**
 * Exports this process's spans, where the environment says to: the agent's own, and those of the libraries that
 * its tasks use and that speak OpenTelemetry. What tasks call over HTTP is told the trace context.
 *
 * The exporter reads the standard variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `…_HEADERS`, `OTEL_SERVICE_NAME`).
 * A file that registers a provider of its own keeps it: the first one counts.
 */
import { traceOutgoingCalls } from "./outgoing-calls.ts";

/** A collector that is away holds up the end of a process no longer than this. */
const SEND_TIMEOUT_MS = 2_000;

type Environment = Readonly<Record<string, string | undefined>>;

/** @returns sends what is left and stops; undefined when the environment names no endpoint */
export async function startTelemetry(
  env: Environment,
  service: string,
): Promise<(() => Promise<void>) | undefined> {
  if (!wantsTelemetry(env)) return undefined;
  const { NodeTracerProvider, BatchSpanProcessor } = await import("@opentelemetry/sdk-trace-node");
  const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-http");
  const { defaultResource, resourceFromAttributes } = await import("@opentelemetry/resources");
  const name = env.OTEL_SERVICE_NAME ?? service;
  const provider = new NodeTracerProvider({
    resource: defaultResource().merge(resourceFromAttributes({ "service.name": name })),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ timeoutMillis: SEND_TIMEOUT_MS }))],
  });
  provider.register();
  const stopCalls = traceOutgoingCalls();
  return () => {
    stopCalls();
    return provider.shutdown();
  };
}

/** Whether there is somewhere to send spans to. */
function wantsTelemetry(env: Environment): boolean {
  return (env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? env.OTEL_EXPORTER_OTLP_ENDPOINT ?? "") !== "";
}
