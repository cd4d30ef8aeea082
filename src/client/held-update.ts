/**
 * The verdict on an update whose large value has to be held against the schema of its key: a daemon does that.
 *
 * It owns how long that is waited for. The update is in the log, and counts later all the same.
 */
import type { Bus, Clock } from "../bus/bus.ts";
import type { EnvVerdictRecord } from "../fold/env-verdicts.ts";
import { RunFold } from "../fold/run-fold.ts";
import { UnreachableError } from "../workflow/errors.ts";

const WAIT_MS = 30_000;

/** @throws UnreachableError `E_NO_DAEMON` */
export async function verdictOnHeld(
  { bus, clock }: { bus: Bus; clock: Clock },
  run: string,
  seq: number,
): Promise<EnvVerdictRecord> {
  const fold = new RunFold(run);
  let tell = (): void => {};
  const judged = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const follower = await bus.log.follow(run, (record) => {
    fold.apply(record);
    if (fold.verdict(seq) !== undefined) tell();
  });
  let timer: unknown;
  const late = new Promise<void>((resolve) => {
    timer = clock.setTimeout(resolve, WAIT_MS);
  });
  try {
    // A run that was put away is woken for it.
    await bus.runs.push(run);
    await Promise.race([judged, late]);
    // The live copy of the decision may be lost.
    if (fold.verdict(seq) === undefined) await follower.sync();
  } finally {
    clock.clearTimeout(timer);
    follower.close();
  }
  const verdict = fold.verdict(seq);
  if (verdict !== undefined) return verdict;
  const what = `no daemon held the value against the schema of its key within ${WAIT_MS} ms`;
  throw new UnreachableError("E_NO_DAEMON", what, {
    remedy: "The update is stored and counts once a daemon has. Check that one runs: datahammer doctor.",
    data: { run, seq, timeoutMs: WAIT_MS },
  });
}
