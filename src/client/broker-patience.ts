/** Giving up on a broker that stays away while a run is watched. */
import type { Bus, Clock, Subscription } from "../bus/bus.ts";
import { UnreachableError } from "../workflow/errors.ts";

export const DEFAULT_PATIENCE_MS = 30_000;

/** Calls `lost` once when the bus is closed, or has been without its broker for longer than the patience. */
export function watchBroker(
  { bus, clock }: { bus: Bus; clock: Clock },
  run: string,
  patienceMs: number,
  lost: (error: UnreachableError) => void,
): Subscription {
  let timer: unknown;
  const status = bus.onStatus((now, reason) => {
    clock.clearTimeout(timer);
    if (now === "connected") return;
    const giveUp = (): void => lost(brokerAway(run, reason, patienceMs));
    if (now === "closed") giveUp();
    else timer = clock.setTimeout(giveUp, patienceMs);
  });
  return {
    close: () => {
      clock.clearTimeout(timer);
      status.close();
    },
  };
}

function brokerAway(run: string, reason: string, patienceMs: number): UnreachableError {
  return new UnreachableError(
    "E_BROKER_AWAY",
    `the broker went away while run "${run}" was watched, and was not back within ${patienceMs} ms: ${reason}`,
    {
      remedy: `Nothing that was acknowledged is lost: when the broker is back, \`datahammer watch ${run}\` goes on.`,
      data: { run, patienceMs },
    },
  );
}
