/** `runs` and `show RUN`: the list of runs, and one of them. */
import { RUN_STATUSES, type RunStatus } from "../../bus/messages.ts";
import { answerCommand, type WaitView, waitText } from "../../fold/wait-view.ts";
import { formatDuration } from "../../trace/duration.ts";
import { type Colors, GLYPHS, paintOutcome } from "../../trace/palette.ts";
import { endOf, replay } from "../../trace/replay.ts";
import { oneLine } from "../../trace/text-width.ts";
import { type RunView, viewOf } from "../../trace/view.ts";
import { InvalidInputError } from "../../workflow/errors.ts";
import { withClient, withReader } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import { integerFlag } from "../given-file.ts";
import type { Command, Invocation } from "../invocation.ts";
import { momentFlag } from "../moment.ts";
import { table } from "../output.ts";
import { runText, valueLines } from "../run-report.ts";
import { wallTime, type ZoneOffset } from "../wall-clock.ts";

const MAX_LIMIT = 1_000_000;

export const runs: Command<{ status?: string; limit?: string }> = async (call, { status, limit }) => {
  const { output, shell } = call;
  const filter = {
    ...(status === undefined ? {} : { status: statusFlag(status) }),
    ...(limit === undefined ? {} : { limit: integerFlag("--limit", limit, 1, MAX_LIMIT) }),
  };
  const list = await withClient(call, (client) => client.runs(filter));
  output.data(list, () => {
    if (list.length === 0) return "no runs\n";
    const rows = list.map(({ run, status: state, startedAt, endedAt, steps, reason }) => [
      run,
      state,
      `${steps.done}/${steps.total}${steps.failed > 0 ? `, ${steps.failed} failed` : ""}`,
      formatDuration((endedAt === null ? shell.clock.now() : Date.parse(endedAt)) - Date.parse(startedAt)),
      wallTime(Date.parse(startedAt), shell.zoneOffsetMs),
      reason ?? "",
    ]);
    const head = ["RUN", "STATUS", "STEPS", "TOOK", "STARTED", ""];
    return table(head, rows, output.colors, (cell, column) =>
      column === 1 ? paintOutcome(cell, cell.trim(), output.colors) : cell,
    );
  });
  return EXIT.done;
};

export function statusFlag(text: string): RunStatus {
  const status = RUN_STATUSES.find((known) => known === text);
  if (status !== undefined) return status;
  throw new InvalidInputError("E_STATUS", `--status "${text}" is no status of a run`, {
    remedy: `Use one of ${RUN_STATUSES.join(", ")}.`,
  });
}

export const show: Command<{ run: string; archive?: string; at?: string }> = async (call, flags) => {
  const { run, at } = flags;
  const view = await withReader(call, flags, async (reader) => {
    if (at === undefined) return reader.show(run);
    const past = await replay(run, reader.records(run), momentFlag(at, call.shell));
    return viewOf(past.fold, endOf(past));
  });
  call.output.data(view, () => showText(view, call));
  return EXIT.done;
};

function showText(view: RunView, { output: { colors }, shell }: Invocation): string {
  const rows = Object.entries(view.steps).map(([id, { state, outcome, attempts, agent }]) => [
    `${GLYPHS[outcome ?? state] ?? " "} ${id}`,
    outcome ?? state,
    attempts > 1 ? String(attempts) : "",
    agent ?? "",
  ]);
  const waiting = Object.entries(view.steps).flatMap(([id, { waiting: wait }]) =>
    wait ? waitLines(view.run, id, wait, { colors, zoneOffsetMs: shell.zoneOffsetMs }) : [],
  );
  for (const [id, { outcome, agent }] of Object.entries(view.plan?.retired ?? {})) {
    rows.push([`${GLYPHS[outcome ?? ""] ?? " "} ${id}`, `${outcome ?? ""}, left out`, "", agent ?? ""]);
  }
  const steps = table(["STEP", "STATE", "ATTEMPTS", "AGENT"], rows, colors, (cell, column, row) =>
    column < 2 ? paintOutcome(cell, row[1] ?? "", colors) : cell,
  );
  const environment =
    Object.keys(view.environment).length === 0
      ? ""
      : `\nenvironment at ${view.seq}:\n${valueLines(view.environment, colors).join("\n")}\n`;
  return `${runText(view, colors)}\n${rows.length === 0 ? "no steps yet\n" : steps}${waiting.join("")}${environment}`;
}

const FAILURE_ANSWERS = "approve: try again; approve JSON: go on with these outputs; reject: let it fail";

/** What a step waits for, what it is about, and how to answer. */
function waitLines(
  run: string,
  step: string,
  wait: WaitView,
  { colors, zoneOffsetMs }: { colors: Colors; zoneOffsetMs: ZoneOffset },
): string[] {
  const until =
    wait.deadline === undefined ? "" : `, until ${wallTime(Date.parse(wait.deadline), zoneOffsetMs)}`;
  const then = wait.default === undefined ? "" : ` (then: ${wait.default})`;
  const lines = [
    `\n${colors.bold(step)} waits for ${waitText(step, wait)}${until}${then}\n`,
    ...(wait.error === undefined ? [] : [`  ${colors.red(oneLine(wait.error))}\n`]),
    ...valueLines(wait.inputs, colors).map((line) => `${line}\n`),
    `  answer with: ${answerCommand(run, step, wait)}\n`,
    ...(wait.for === "failure" ? [`  ${FAILURE_ANSWERS}\n`] : []),
  ];
  return lines;
}
