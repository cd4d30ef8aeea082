/**
 * What must be true of secrets: nothing that is shown of a run holds one, and whoever is given one is told so.
 *
 * What is secret is read from the log alone, and looked for as text, without the runtime's mask.
 */
import type { LogRecord } from "../bus/bus.ts";
import { renderTrace } from "../trace/format.ts";
import { endOf, replay, type Trace } from "../trace/replay.ts";
import { viewOf } from "../trace/view.ts";
import { whyStep } from "../trace/why.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import { submissionOf } from "./nested-judge.ts";
import type { Wrong } from "./scenario.ts";
import type { Life } from "./simulate.ts";

const FORMATS = ["text", "json", "mermaid", "perfetto", "otlp"] as const;

export async function leaks({ logs, evidence }: Life): Promise<Wrong[]> {
  const wrongs: Wrong[] = [];
  for (const [run, records] of logs) {
    const secrets = secretsOf(records);
    if (secrets.length === 0) continue;
    for (const [where, text] of Object.entries(shown(await replay(run, records)))) {
      const told = secrets.flatMap(formsOf).find((form) => text.includes(form));
      if (told !== undefined)
        wrongs.push({ rule: "no secret is shown", what: `${run}: ${where} has ${told}` });
    }
    for (const fact of evidence.of("pushed")) {
      if (fact.run !== run) continue;
      const given = Object.values(fact.inputs).filter((value) => secrets.includes(value as string));
      const what = `${run} ${fact.step}#${fact.n} has ${given}, and is told ${fact.secrets}`;
      if (given.some((value) => !fact.secrets.includes(value as string)))
        wrongs.push({ rule: "an agent is told what is secret", what });
    }
  }
  return wrongs;
}

/** Texts that the log ever had under a name that its workflow says is secret. */
function secretsOf(records: readonly LogRecord[]): string[] {
  const { workflow, environment = {}, origin } = submissionOf(records)?.body ?? {};
  const names = (workflow as WorkflowDocument | undefined)?.secrets ?? [];
  const values = names.flatMap((name) => [environment[name], origin?.environment[name]?.value]);
  return values.filter((value): value is string => typeof value === "string");
}

/** As it is, in JSON, and in an address. */
function formsOf(secret: string): string[] {
  return [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)];
}

/** All that people can be shown of a run, by where. */
function shown(trace: Trace): Record<string, string> {
  const now = endOf(trace);
  const traces = FORMATS.map((format) => [`the trace as ${format}`, renderTrace(trace, format)]);
  const { steps } = trace.fold;
  const whys = [...(steps?.all() ?? [])].map(({ id }) => whyStep(trace, id, now));
  return {
    ...Object.fromEntries(traces),
    "the view": JSON.stringify(viewOf(trace.fold, now)),
    "the story": JSON.stringify(whys),
  };
}
