/** Would catch a subject that reads back as something else, or a name that breaks out of its token. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type LogAddress, PLAIN_LOG_KINDS, parseSubject, subjectsOf } from "../../src/bus/subjects.ts";
import { InvalidInputError } from "../../src/workflow/errors.ts";

const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const step = fc.oneof(
  id,
  fc.tuple(id, fc.nat(999_999)).map(([name, index]) => `${name}~${index}`),
);
const ref = fc.record({ role: id, run: id, step, n: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }) });
const address: fc.Arbitrary<LogAddress> = fc.oneof(
  fc.constantFrom(...PLAIN_LOG_KINDS).map((kind) => ({ kind })),
  id.map((role) => ({ kind: "result" as const, role })),
);

describe("subjects", () => {
  test("every subject that is built reads back as what it was built from", () => {
    fc.assert(
      fc.property(id, ref, address, id, (swarm, dispatch, at, key) => {
        const subjects = subjectsOf(swarm);
        const { role, run, step: ofStep } = dispatch;
        const built: [string, object][] = [
          [subjects.record(run, at), { is: "record", run, ...at }],
          [subjects.liveRecord(run, at), { is: "live-record", run, ...at }],
          [subjects.task(dispatch), { is: "task", ...dispatch }],
          [subjects.cancel(dispatch), { is: "cancel", ...dispatch }],
          [subjects.ask(dispatch), { is: "ask", ...dispatch }],
          [subjects.orchestrate(run), { is: "orchestrate", run }],
          [subjects.env(run, key), { is: "env", run, key }],
          [subjects.handoff(run, ofStep), { is: "handoff", run, step: ofStep }],
          [subjects.live(role, run, ofStep), { is: "live", role, run, step: ofStep }],
          [subjects.hello, { is: "hello" }],
        ];
        for (const [subject, meaning] of built) expect(parseSubject(subject)).toEqual({ swarm, ...meaning });
      }),
    );
  });

  test("whatever parses is a subject that can be built", () => {
    const token = fc.oneof(
      id,
      step,
      fc.constantFrom("dh", "run", "log", "task", "result", "submit", "1", "*", ">", ""),
    );
    fc.assert(
      fc.property(fc.array(token, { maxLength: 8 }), (tokens) => {
        const subject = ["dh", ...tokens].join(".");
        const parsed = parseSubject(subject);
        if (parsed === undefined) return;
        const subjects = subjectsOf(parsed.swarm);
        const again = {
          record: () => parsed.is === "record" && subjects.record(parsed.run, parsed),
          "live-record": () => parsed.is === "live-record" && subjects.liveRecord(parsed.run, parsed),
          task: () => parsed.is === "task" && subjects.task(parsed),
          cancel: () => parsed.is === "cancel" && subjects.cancel(parsed),
          ask: () => parsed.is === "ask" && subjects.ask(parsed),
          orchestrate: () => parsed.is === "orchestrate" && subjects.orchestrate(parsed.run),
          timer: () => parsed.is === "timer" && subjects.timer(parsed.run),
          env: () => parsed.is === "env" && subjects.env(parsed.run, parsed.key),
          handoff: () => parsed.is === "handoff" && subjects.handoff(parsed.run, parsed.step),
          live: () => parsed.is === "live" && subjects.live(parsed.role, parsed.run, parsed.step),
          hello: () => subjects.hello,
        }[parsed.is]();
        expect(again).toBe(subject);
      }),
    );
  });

  test("a token that is no id is refused by every builder", () => {
    const subjects = subjectsOf("main");
    const bad = ["", "a.b", "*", ">", "a b", "ä", "x".repeat(65), "a\r\nPUB b", "a~1"];
    for (const token of bad) {
      const builders = [
        () => subjectsOf(token),
        () => subjects.record(token, { kind: "submit" }),
        () => subjects.record("run", { kind: "result", role: token }),
        () => subjects.task({ role: token, run: "run", step: "step", n: 1 }),
        () => subjects.task({ role: "role", run: token, step: "step", n: 1 }),
        () => subjects.orchestrate(token),
        () => subjects.env("run", token),
        () => subjects.liveOf(token),
        () => subjects.cancelsOf(token),
      ];
      for (const build of builders) expect(build, token).toThrow(InvalidInputError);
    }
    for (const n of [0, -1, 1.5, Number.NaN]) {
      expect(() => subjects.task({ role: "role", run: "run", step: "step", n })).toThrow(InvalidInputError);
    }
  });

  test("the names that other languages rely on stay as they are", () => {
    const subjects = subjectsOf("main");
    expect(subjects.tasksStream).toBe("dh_main_tasks");
    expect(subjects.logStream).toBe("dh_main_log");
    expect(subjects.record("r1", { kind: "result", role: "cleaner" })).toBe("dh.main.run.r1.result.cleaner");
    expect(subjects.task({ role: "cleaner", run: "r1", step: "clean~2", n: 3 })).toBe(
      "dh.main.task.cleaner.r1.clean~2.3",
    );
    expect(subjects.ask({ role: "cleaner", run: "r1", step: "clean", n: 1 })).toBe(
      "dh.main.ask.cleaner.r1.clean.1",
    );
    expect(subjects.live("cleaner", "r1", "clean")).toBe("dh.main.live.cleaner.r1.clean");
  });
});
