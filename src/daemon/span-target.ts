/** Which OpenTelemetry collector the standard variables name. */

export interface SpanTarget {
  /** Where OTLP's JSON is posted to. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** From the standard variables; undefined when they name no endpoint. */
export function spanTarget(env: Readonly<Record<string, string | undefined>>): SpanTarget | undefined {
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT?.replace(/\/+$/, "");
  const url = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? (base ? `${base}/v1/traces` : "");
  if (url === "") return undefined;
  const pairs = (env.OTEL_EXPORTER_OTLP_TRACES_HEADERS ?? env.OTEL_EXPORTER_OTLP_HEADERS ?? "").split(",");
  const headers = pairs.flatMap((pair) => {
    const at = pair.indexOf("=");
    return at < 1 ? [] : [[pair.slice(0, at).trim(), decoded(pair.slice(at + 1).trim())]];
  });
  return { url, headers: Object.fromEntries(headers) };
}

/** A value that is no valid encoding was not meant as one. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
