/**
 * Requests that wait for their answers. Catches: one that waits for ever, and one that is given up after a sleep of
 * the process although its answer lies unread.
 */
import type { Msg } from "nats";
import { describe, expect, it } from "vitest";
import type { Clock } from "../../src/bus/bus.ts";
import { OpenRequests } from "../../src/bus/nats/open-requests.ts";
import { VirtualClock } from "./virtual-clock.ts";

const ANSWER = { subject: "answer" } as Msg;

/** A clock whose process can be stopped: the time of its timers stands still meanwhile, the other goes on. */
function stoppable(clock: VirtualClock): Clock & { sleptMs: number } {
  return {
    sleptMs: 0,
    now: () => clock.now(),
    monotonic() {
      return clock.monotonic() + this.sleptMs;
    },
    setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs),
    clearTimeout: (timer) => clock.clearTimeout(timer),
  };
}

/** How a request ended so far. */
function outcomeOf(answer: Promise<Msg>): { is: unknown } {
  const outcome: { is: unknown } = { is: "open" };
  answer.then(
    (message) => {
      outcome.is = message;
    },
    (error: { code: string }) => {
      outcome.is = error.code;
    },
  );
  return outcome;
}

describe("a request", () => {
  it("that nobody answers is given up when its time is over", async () => {
    const clock = new VirtualClock();
    const outcome = outcomeOf(new OpenRequests(clock).add("task", 2_000).answer);
    await clock.advance(1_999);
    expect(outcome.is).toBe("open");
    await clock.advance(1);
    expect(outcome.is).toBe("E_TIMEOUT");
  });

  it("whose time passed while the process slept still gets the answer that lay unread", async () => {
    const virtual = new VirtualClock();
    const clock = stoppable(virtual);
    const requests = new OpenRequests(clock);
    const { token, answer } = requests.add("task", 2_000);
    const outcome = outcomeOf(answer);
    clock.sleptMs = 60_000;
    await virtual.advance(2_000);
    requests.take(token)?.resolve(ANSWER);
    await virtual.advance(10_000);
    expect(outcome.is).toBe(ANSWER);
  });

  it("that nobody answered during a sleep is given up soon after it, however late every timer is", async () => {
    const virtual = new VirtualClock();
    const clock = stoppable(virtual);
    const outcome = outcomeOf(new OpenRequests(clock).add("task", 2_000).answer);
    for (let round = 0; round < 2; round++) {
      clock.sleptMs += 60_000;
      await virtual.advance(2_000);
    }
    expect(outcome.is).toBe("E_TIMEOUT");
  });
});
