/**
 * Keeping tasks by a timer on the agent's own event loop, for buses without something better. A task that
 * blocks the loop for longer than the ack-wait is not kept; the NATS bus brings its own keep-alive for that.
 */
import type { Clock, KeepAlive, KeepAliveTerms, TaskDelivery } from "../bus/bus.ts";

type Kept = Pick<TaskDelivery, "receipt" | "working">;

export function timerKeepAlive(clock: Clock): KeepAlive {
  const timers = new Map<string, unknown>();

  function hold(delivery: Kept, { ackWaitMs, forMs = Number.POSITIVE_INFINITY }: KeepAliveTerms): void {
    release(delivery);
    const endsAt = clock.monotonic() + forMs;
    const arm = () => {
      const timer = clock.setTimeout(() => {
        if (clock.monotonic() >= endsAt) {
          timers.delete(delivery.receipt);
          return;
        }
        delivery.working();
        arm();
      }, ackWaitMs / 3);
      timers.set(delivery.receipt, timer);
    };
    arm();
  }

  function release({ receipt }: Pick<TaskDelivery, "receipt">): void {
    const timer = timers.get(receipt);
    if (timer === undefined) return;
    clock.clearTimeout(timer);
    timers.delete(receipt);
  }

  function close(): void {
    for (const timer of timers.values()) clock.clearTimeout(timer);
    timers.clear();
  }

  return { hold, release, close };
}
