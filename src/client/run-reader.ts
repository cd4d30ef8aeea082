/**
 * Reading one run: its state, its environment and its records, folded from its log wherever that is kept (L1).
 *
 * Owns nothing: the log may be the swarm's or an archive's, and both give the same answers.
 */
import type { ArtifactStore, Clock, LogRecord, ReadOptions } from "../bus/bus.ts";
import { redeem } from "../bus/claim-check.ts";
import { RunFold } from "../fold/run-fold.ts";
import type { FoldObserver } from "../fold/transition-record.ts";
import { type RunView, viewOf } from "../trace/view.ts";
import { readPath } from "../workflow/environment.ts";
import { InvalidInputError, NotFoundError } from "../workflow/errors.ts";
import { ID_PATTERN } from "../workflow/names.ts";
import { MASK, masked } from "../workflow/secrets.ts";
import type { EnvironmentView } from "./swarm.ts";

/** Where runs' logs and artifacts are read from. */
export interface RunSource {
  read(run: string, options?: ReadOptions): AsyncIterable<LogRecord>;
  readonly artifacts: Pick<ArtifactStore, "get">;
}

export class RunReader {
  readonly #source: RunSource;
  readonly #clock: Clock;

  constructor(source: RunSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** @throws NotFoundError for a run that has no log */
  async show(run: string): Promise<RunView> {
    return wholeView(this.#source.artifacts, await this.folded(run), this.#clock.now());
  }

  records(run: string): AsyncIterable<LogRecord> {
    assertRunId(run);
    return this.#source.read(run);
  }

  /** @throws NotFoundError for a run without a log, or a key that is not set */
  async environment(run: string, key?: string, options: { at?: number } = {}): Promise<EnvironmentView> {
    const { environment, secrets } = await this.folded(run, options.at);
    if (key === undefined) {
      const values = await redeem(this.#source.artifacts, { ...environment.values });
      const view = { revision: environment.revision, values: values as Record<string, unknown> };
      return masked(secrets, view);
    }
    const top = key.split(".")[0] as string;
    const entry = environment.entry(top);
    const value = await redeem(this.#source.artifacts, entry?.value);
    const reading = entry === undefined ? undefined : readPath({ [top]: value }, key);
    if (entry === undefined || reading === undefined || !reading.found) {
      const missing = reading?.found === false ? reading.missing : top;
      throw new NotFoundError("E_KEY_NOT_FOUND", `the environment of run "${run}" has no "${missing}"`, {
        remedy: `It has: ${[...environment.keys()].join(", ") || "nothing yet"}.`,
        data: { run, key },
      });
    }
    const shown = secrets?.has(top) ? MASK : masked(secrets, reading.value);
    return { revision: entry.revision, values: { [key]: shown } };
  }

  /** The run as its log has it, up to the sequence `to`. @throws NotFoundError for a run that has no log */
  async folded(run: string, to?: number, observer: FoldObserver = {}): Promise<RunFold> {
    assertRunId(run);
    const fold = new RunFold(run, { observer });
    let empty = true;
    for await (const record of this.#source.read(run, to === undefined ? {} : { to })) {
      empty = false;
      fold.apply(record);
    }
    if (empty) throw runNotFound(run);
    return fold;
  }
}

/** The view of a run with its large values in the place of their references. @param now epoch ms */
export async function wholeView(
  artifacts: Pick<ArtifactStore, "get">,
  fold: RunFold,
  now: number,
): Promise<RunView> {
  const view = viewOf(fold, now);
  try {
    const outputs = (await redeem(artifacts, view.outputs)) as RunView["outputs"];
    const environment = (await redeem(artifacts, view.environment)) as RunView["environment"];
    return { ...view, ...masked(fold.secrets, { outputs, environment }) };
  } catch (error) {
    if (error instanceof NotFoundError) return view; // Purged meanwhile: the references are what is left.
    throw error;
  }
}

export function assertRunId(run: string): void {
  if (ID_PATTERN.test(run)) return;
  throw new InvalidInputError("E_RUN_ID", `"${run}" is no run id`, {
    remedy: "Use letters, digits, _ and -, at most 64.",
    data: { run },
  });
}

export function runNotFound(run: string): NotFoundError {
  return new NotFoundError("E_RUN_NOT_FOUND", `there is no run "${run}"`, {
    remedy: "List the runs with `datahammer runs`.",
    data: { run },
  });
}
