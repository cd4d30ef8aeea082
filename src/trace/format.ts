/** The formats of a trace by name: one entry here is all that another one needs. */
import { InvalidInputError } from "../workflow/errors.ts";
import { renderFlowchart, renderStateDiagram } from "./mermaid.ts";
import { renderOtlp } from "./otlp.ts";
import { renderPerfetto } from "./perfetto.ts";
import { endOf, type Trace, traceTransition } from "./replay.ts";
import { renderText, type TextOptions } from "./text.ts";

type Renderer = (trace: Trace, options: TextOptions) => string;

const RENDERERS = {
  text: renderText,
  json: (trace) => `${JSON.stringify(trace.transitions.map(traceTransition))}\n`,
  mermaid: (trace, { step }) =>
    step === undefined ? renderFlowchart(trace) : renderStateDiagram(trace, step),
  perfetto: (trace, { now }) => renderPerfetto(trace, now ?? endOf(trace)),
  otlp: (trace, { now }) => renderOtlp(trace, now ?? endOf(trace)),
} satisfies Record<string, Renderer>;

export type TraceFormat = keyof typeof RENDERERS;
const TRACE_FORMATS = Object.keys(RENDERERS) as TraceFormat[];

/** @throws InvalidInputError naming the formats that there are. */
export function traceFormat(name: string): TraceFormat {
  if (Object.hasOwn(RENDERERS, name)) return name as TraceFormat;
  throw new InvalidInputError("E_FORMAT", `there is no trace format "${name}"`, {
    remedy: `Use one of ${TRACE_FORMATS.join(", ")}.`,
    data: { format: name },
  });
}

/** Renders a trace; width and colours of the options matter to text only. */
export function renderTrace(trace: Trace, format: TraceFormat, options: TextOptions = {}): string {
  const text = RENDERERS[format](trace, options);
  return trace.fold.secrets?.text(text) ?? text;
}
