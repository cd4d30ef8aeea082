/** Catches: a listener left on the process, one for each host, or none while another host still serves. */
import { pino } from "pino";
import { expect, it } from "vitest";
import { logStrayRejections } from "../../src/agent/stray-rejections.ts";

it("listens once however many hosts there are, and stops with the last of them", () => {
  const log = pino({ level: "silent" });
  const before = process.listenerCount("unhandledRejection");
  const stops = [logStrayRejections(log.child({})), logStrayRejections(log.child({}))];
  expect(process.listenerCount("unhandledRejection")).toBe(before + 1);
  stops[0]?.();
  expect(process.listenerCount("unhandledRejection")).toBe(before + 1);
  stops[1]?.();
  expect(process.listenerCount("unhandledRejection")).toBe(before);
});
