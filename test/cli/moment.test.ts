/** Catches a moment that is read as another: a state shown as of the wrong time answers the wrong question. */
import { describe, expect, it } from "vitest";
import { momentFlag } from "../../src/cli/moment.ts";

const BEGAN = Date.UTC(2026, 0, 31, 14, 2, 40);
const NOW = Date.UTC(2026, 1, 2);

function timeOf(text: string, startedAt = BEGAN): string {
  const { until } = momentFlag(text, NOW);
  return new Date(typeof until === "function" ? until(startedAt) : (until ?? 0)).toISOString();
}

describe("a moment of a run", () => {
  it("is a sequence when it is a whole number", () => {
    expect(momentFlag("120", NOW)).toEqual({ at: 120 });
  });

  it("is so long after the start with a plus", () => {
    expect(timeOf("+30s")).toBe("2026-01-31T14:03:10.000Z");
  });

  it("is all of the minute or second that it names, the first one after the run began", () => {
    expect(timeOf("14:03")).toBe("2026-01-31T14:03:59.999Z");
    expect(timeOf("14:02")).toBe("2026-01-31T14:02:59.999Z");
    expect(timeOf("14:03:20")).toBe("2026-01-31T14:03:20.999Z");
    expect(timeOf("9:00:00.5")).toBe("2026-02-01T09:00:00.500Z");
  });

  it("is never after now", () => {
    expect(timeOf("2030-01-01")).toBe("2026-02-02T00:00:00.000Z");
    expect(timeOf("+24h", NOW - 1_000)).toBe("2026-02-02T00:00:00.000Z");
  });

  it.each(["25:00", "12:61", "noon", "+soon", "-3", "2026-13-40"])("is not %s", (text) => {
    expect(() => momentFlag(text, NOW)).toThrow(expect.objectContaining({ code: "E_MOMENT" }));
  });
});
