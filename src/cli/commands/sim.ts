/** `sim --from-run RUN`: lives a run again in virtual time, disturbed from seeds, and has it judged. */
import type { LogRecord } from "../../bus/bus.ts";
import { FAULT_KINDS, type FaultKind, type SimulatedRun, simulateRun } from "../../simulation/index.ts";
import { formatDuration } from "../../trace/duration.ts";
import { paintOutcome } from "../../trace/palette.ts";
import { InvalidInputError } from "../../workflow/errors.ts";
import { withReader } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import { integerFlag } from "../given-file.ts";
import type { Command } from "../invocation.ts";
import type { Output } from "../output.ts";

const MAX_SEEDS = 1_000_000;
const MAX_PARALLEL = 10_000;
const MAX_FACTOR = 1_000_000;
const MAX_ATTEMPTS = 1_000;

export interface SimFlags {
  fromRun?: string;
  archive?: string;
  seeds?: string;
  seed?: string;
  faults?: string;
  killDaemon?: boolean;
  slow?: string[];
  fail?: string[];
  maxParallel?: string;
  history?: boolean;
}

export const sim: Command<SimFlags> = async (call, flags) => {
  const { output, shell } = call;
  const { fromRun: run, archive, maxParallel } = flags;
  if (run === undefined) {
    throw new InvalidInputError("E_USAGE", "sim needs a run to simulate", {
      remedy: "Give --from-run RUN; `datahammer runs` lists them.",
    });
  }
  const options = {
    seed: integerFlag("--seed", flags.seed ?? "1", 0, Number.MAX_SAFE_INTEGER),
    seeds: integerFlag("--seeds", flags.seeds ?? "1", 1, MAX_SEEDS),
    faults: faultsFlag(flags.faults),
    killDaemon: flags.killDaemon === true,
    slow: Object.fromEntries((flags.slow ?? []).map(slowFlag)),
    fail: Object.fromEntries((flags.fail ?? []).map(failFlag)),
    ...(maxParallel === undefined
      ? {}
      : { maxParallel: integerFlag("--max-parallel", maxParallel, 1, MAX_PARALLEL) }),
  };
  const records: LogRecord[] = [];
  await withReader(call, archive === undefined ? { run } : { run, archive }, async (reader) => {
    // Says that there is no such run, where a log that is read would only be empty.
    await reader.show(run);
    for await (const record of reader.records(run)) records.push(record);
  });
  let broken: number | undefined;
  for await (const life of simulateRun(run, records, options)) {
    if (shell.interrupted.aborted) return EXIT.interrupted;
    if (life.seed === options.seed) for (const what of life.leftOut) output.notice(what);
    if (life.violations.length > 0) broken ??= life.seed;
    tell(life, output, flags.history === true);
  }
  if (broken === undefined) return EXIT.done;
  if (flags.history !== true)
    output.notice(`what happened: the same command with --seed ${broken} --seeds 1 --history`);
  return EXIT.failed;
};

function tell(life: SimulatedRun, output: Output, whole: boolean): void {
  const { history, ...result } = life;
  const { seed, status, durationMs, dispatches, violations } = result;
  output.line(whole ? life : result, () => {
    const verdict = violations.length === 0 ? "no rule broken" : `${violations.length} rules broken`;
    const counted = `${dispatches} ${dispatches === 1 ? "dispatch" : "dispatches"}`;
    const state = paintOutcome(status.padEnd(9), status, output.colors);
    return [
      `seed ${String(seed).padEnd(6)} ${state}  ${formatDuration(durationMs).padStart(6)}  ${counted}, ${verdict}`,
      ...violations.map(({ rule, what }) => `  ${rule}: ${what}`),
      ...(whole ? history : []),
    ].join("\n");
  });
}

function faultsFlag(text: string | undefined): FaultKind[] {
  if (text === undefined) return [];
  if (text === "all") return [...FAULT_KINDS];
  return text.split(",").map((name) => {
    const kind = FAULT_KINDS.find((known) => known === name.trim());
    if (kind !== undefined) return kind;
    throw new InvalidInputError("E_FAULT", `--faults "${name.trim()}" is no kind of fault`, {
      remedy: `Use some of ${FAULT_KINDS.join(",")}, or all.`,
    });
  });
}

/** `ROLE=2x`, `ROLE=0.5`. */
function slowFlag(text: string): [role: string, factor: number] {
  const [, role = "", factor = ""] = /^([^=]+)=([\d.]+)x?$/.exec(text) ?? [];
  const times = Number(factor);
  if (role !== "" && times > 0 && times <= MAX_FACTOR) return [role, times];
  throw new InvalidInputError("E_USAGE", `--slow "${text}" is not ROLE=FACTOR`, {
    remedy: "Write it like --slow loader=2x.",
  });
}

/** `STEP`: always; `STEP=2`: at its first two attempts. */
function failFlag(text: string): [step: string, attempts: number] {
  const [step = "", attempts] = text.split("=");
  if (attempts === undefined) return [step, Number.POSITIVE_INFINITY];
  return [step, integerFlag(`--fail ${step}`, attempts, 1, MAX_ATTEMPTS)];
}
