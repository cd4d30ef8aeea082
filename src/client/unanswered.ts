/** Why the broker did not answer, as far as a daemon knows. */
import type { Bus } from "../bus/bus.ts";
import { UnreachableError } from "../workflow/errors.ts";

const DAEMON_ANSWERS_MS = 1_000;

/**
 * Carries out a call to the broker. One whose disk is full may answer nothing at all, which this side can only call a
 * time-out; a daemon looks at the broker all the time, and its word travels beside what is stored.
 */
export async function withReason<Value>(
  { bus, by }: { bus: Bus; by: string },
  call: () => Promise<Value>,
): Promise<Value> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof UnreachableError) || error.code !== "E_TIMEOUT") throw error;
    const problem = await problemOfDaemon(bus, by);
    if (problem === undefined) throw error;
    throw new UnreachableError(error.code, `${error.message}: ${problem}`, {
      remedy: "Try again when the daemon says on /readyz, or `datahammer doctor`, that this is over.",
      data: error.data,
      cause: error,
    });
  }
}

async function problemOfDaemon(bus: Bus, by: string): Promise<string | undefined> {
  try {
    // An announcement of no roles changes nothing, and any daemon answers it.
    return (await bus.live.hello({ v: 1, id: by, roles: [] }, DAEMON_ANSWERS_MS))?.problem;
  } catch {
    return undefined; // Nobody is reached: what was known stays all there is to say.
  }
}
