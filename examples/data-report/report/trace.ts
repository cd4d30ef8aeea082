/** Adds the trace of the state machines to a finished report: it is complete only once the run has ended. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { NotFoundError } from "../../../src/workflow/errors.ts";
import { count } from "../wording.ts";
import { html } from "./html.ts";
import { TRACE_MARK } from "./page.ts";

/** One transition, as `datahammer trace --json` prints it. */
export interface TraceTransition {
  seq: number;
  ts: string;
  actor: string;
  from: string;
  to: string;
  event: string;
  attempt?: number | null;
  agent?: string | null;
  cause?: string | null;
}

const SHOWN = 500;

/**
 * Writes the trace into the report at `reportPath`. Doing it again replaces nothing: the page has one place.
 * @throws NotFoundError when the file has no place for a trace (it is no report, or has one already)
 */
export async function appendTrace(
  reportPath: string,
  transitions: readonly TraceTransition[],
): Promise<void> {
  const page = await readFile(reportPath, "utf8");
  if (!page.includes(TRACE_MARK)) {
    throw new NotFoundError("E_NO_TRACE_MARK", `${reportPath} has no place for a trace`, {
      remedy: "Give the path of a report that has just been written.",
    });
  }
  const rows = transitions
    .slice(0, SHOWN)
    .map(
      (t) =>
        html`<tr><td class="n">${t.seq}</td><td class="n">${t.ts.slice(11, 23)}</td><td class="name">${t.actor}</td><td>${t.from} → ${t.to}</td><td>${t.event}</td><td>${t.agent ?? ""}</td></tr>`,
    );
  const more = transitions.length > SHOWN ? ` The first ${SHOWN} are shown.` : "";
  const section = html`<h3>Trace</h3>
<p>Every transition of the run's state machines, replayed from its log: ${count(transitions.length, "transition")}.${more}</p>
<details><summary>Show the trace</summary><div class="scroll"><table><thead><tr><th class="n">Seq</th><th class="n">Time (UTC)</th><th>Actor</th><th>Transition</th><th>Event</th><th>Agent</th></tr></thead><tbody>${rows}</tbody></table></div></details>`;
  const temporary = `${reportPath}.tmp`;
  await writeFile(
    temporary,
    page.replace(TRACE_MARK, () => section.text),
  );
  await rename(temporary, reportPath);
}
