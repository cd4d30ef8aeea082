/** Catches a moment that is read as another: a state shown as of the wrong time answers the wrong question. */
import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/bus/system-clock.ts";
import { momentFlag } from "../../src/cli/moment.ts";
import { wallTime, type ZoneOffset } from "../../src/cli/wall-clock.ts";
import { replay } from "../../src/trace/replay.ts";
import { LogWriter } from "../fold/log-writer.ts";

const BEGAN = Date.UTC(2026, 0, 31, 14, 2, 40);
const NOW = Date.UTC(2027, 1, 2);
const clock = { ...systemClock, now: () => NOW };

/** A zone as the system's own tables have it: what the moments are checked with knows nothing of what they do. */
function zone(name: string): ZoneOffset {
  const format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });
  return (epochMs) => {
    const part = format.formatToParts(epochMs).find(({ type }) => type === "timeZoneName");
    const [, sign, hours, minutes] = /GMT([+-])(\d\d):(\d\d)/.exec(part?.value ?? "") ?? [];
    return (sign === "-" ? -1 : 1) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * 60_000;
  };
}

const UTC = zone("UTC");

function timeOf(text: string, startedAt = BEGAN, zoneOffsetMs = UTC): string {
  const { until } = momentFlag(text, { clock, zoneOffsetMs });
  return new Date(typeof until === "function" ? until(startedAt) : (until ?? 0)).toISOString();
}

describe("a moment of a run", () => {
  it("is a sequence when it is a whole number", () => {
    expect(momentFlag("120", { clock, zoneOffsetMs: UTC })).toEqual({ at: 120 });
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

  it("is all of the minute, second or day of a date", () => {
    expect(timeOf("2026-02-03 14:03")).toBe("2026-02-03T14:03:59.999Z");
    expect(timeOf("2026-02-03T14:03:05")).toBe("2026-02-03T14:03:05.999Z");
    expect(timeOf("2026-02-03")).toBe("2026-02-03T23:59:59.999Z");
  });

  it("is never after now", () => {
    expect(timeOf("2030-01-01")).toBe("2027-02-02T00:00:00.000Z");
    expect(timeOf("+24h", NOW - 1_000)).toBe("2027-02-02T00:00:00.000Z");
  });

  it.each(["25:00", "12:61", "noon", "+soon", "-3", "2026-13-40", "2026-02-30", "14:03 tomorrow", "", "Z"])(
    "is not %s",
    (text) => {
      expect(() => momentFlag(text, { clock, zoneOffsetMs: UTC })).toThrow(
        expect.objectContaining({ code: "E_MOMENT" }),
      );
    },
  );
});

describe("a moment without a zone", () => {
  it.each([
    ["Asia/Kolkata", "14:03", "2026-02-01T08:33:59.999Z"],
    ["Asia/Kolkata", "19:33", "2026-01-31T14:03:59.999Z"],
    ["America/New_York", "09:03:05", "2026-01-31T14:03:05.999Z"],
    ["America/New_York", "2026-01-31 23:30", "2026-02-01T04:30:59.999Z"],
    // Over there it is the next day already when the run begins.
    ["Pacific/Kiritimati", "04:03", "2026-01-31T14:03:59.999Z"],
    ["Pacific/Kiritimati", "2026-02-01 04:03", "2026-01-31T14:03:59.999Z"],
    ["Pacific/Kiritimati", "2026-01-31", "2026-01-31T09:59:59.999Z"],
    ["Pacific/Pago_Pago", "03:03", "2026-01-31T14:03:59.999Z"],
    ["Europe/Berlin", "00:10", "2026-01-31T23:10:59.999Z"],
    ["Asia/Kolkata", "14:03Z", "2026-01-31T14:03:59.999Z"],
    ["Asia/Kolkata", "15:03+01:00", "2026-01-31T14:03:59.999Z"],
    ["Asia/Kolkata", "2026-01-31T14:03:20.250Z", "2026-01-31T14:03:20.250Z"],
    ["Asia/Kolkata", "2026-01-31 09:03:20 -0500", "2026-01-31T14:03:20.999Z"],
  ])("in %s, %s is %s", (name, text, expected) => {
    expect(timeOf(text, BEGAN, zone(name))).toBe(expected);
  });

  it("is found where clocks are put forward, and where they are put back", () => {
    const berlin = zone("Europe/Berlin");
    const spring = Date.UTC(2026, 2, 28, 22);
    expect(timeOf("02:30", spring, berlin)).toBe("2026-03-29T01:30:59.999Z");
    expect(timeOf("03:30", spring, berlin)).toBe("2026-03-29T01:30:59.999Z");
    // 02:30 comes twice: the first that the run was there for.
    const autumn = Date.UTC(2026, 9, 24, 22);
    expect(timeOf("02:30", autumn, berlin)).toBe("2026-10-25T00:30:59.999Z");
    expect(timeOf("02:30", Date.UTC(2026, 9, 25, 0, 45), berlin)).toBe("2026-10-25T01:30:59.999Z");
    expect(timeOf("2026-10-25 02:30", autumn, berlin)).toBe("2026-10-25T01:30:59.999Z");
  });

  it("before the run's first is refused in the terminal's own times", async () => {
    const { records } = new LogWriter().submit({ steps: [{ id: "a", agent: "x", task: "t" }] });
    const asked = momentFlag("2020-05-01 14:03", { clock, zoneOffsetMs: zone("Asia/Kolkata") });
    const log = records.map((record) => ({ ...record, ts: BEGAN }));
    await expect(replay("r1", log, asked)).rejects.toThrow(
      "began at 2026-01-31T19:32:40.000+05:30, and not before 2020-05-01T14:03:59.999+05:30",
    );
  });

  it("is what a text prints: typed in again, it is the same moment, in every zone and season", () => {
    for (const name of ["UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Chatham", "Europe/Berlin"]) {
      for (let epochMs = BEGAN; epochMs < NOW; epochMs += 7 * 86_400_000 + 3_723_004) {
        const printed = wallTime(epochMs, zone(name));
        expect(Date.parse(printed)).toBe(epochMs);
        expect(timeOf(printed, BEGAN, zone(name))).toBe(new Date(epochMs).toISOString());
        const [withoutZone = ""] = /^.{23}/.exec(printed) ?? [];
        expect(timeOf(withoutZone, BEGAN, zone(name))).toBe(new Date(epochMs).toISOString());
      }
    }
  });
});
