/**
 * Undoing what a run has done.
 * Catches: an undoing step that is left out, done in another order or before the run has given up, an end that
 * comes before them or tells another error, a result that still counts although it was undone.
 */
import { describe, expect, it } from "vitest";
import { RunFold } from "../../src/fold/run-fold.ts";
import { viewOf } from "../../src/trace/view.ts";
import { LogWriter } from "./log-writer.ts";

const step = (id: string, more: Record<string, unknown> = {}) => ({
  id,
  agent: "worker",
  task: id,
  outputs: [id],
  ...more,
});
const trip = (more: Record<string, unknown> = {}) => ({
  steps: [
    step("hotel", { inputs: { city: "Rome" }, compensate: "leaveHotel" }),
    step("flight", {
      dependsOn: ["hotel"],
      compensate: {
        agent: "desk",
        task: "cancelFlight",
        inputs: { seat: "${self.outputs.flight}", hotel: "${env.hotel}", city: "${self.inputs.city}" },
      },
      inputs: { city: "Rome" },
    }),
    step("pay", { dependsOn: ["flight"], retry: { maxAttempts: 1 } }),
  ],
  ...more,
});
const failed = (message = "no money", retryable = false) => ({
  status: "failed" as const,
  error: { name: "Error", message, retryable },
});

/** Both bookings are done and the payment has failed. */
function failedTrip(): LogWriter {
  const log = new LogWriter().submit(trip());
  log.result("hotel", { outputs: { hotel: "h1" } });
  log.result("flight", { outputs: { flight: "12A" } });
  log.result("pay", failed());
  return log;
}

function giveUp(log: LogWriter): void {
  const due = log.fold.dueEnd();
  expect(due?.compensate).toBe(true);
  log.decide({
    type: "compensate",
    status: due?.status as "failed",
    ...(due?.error && { error: due.error }),
  });
}

describe("a run that fails", () => {
  it("undoes its completed steps, the last one first, one at a time", () => {
    const log = failedTrip();
    giveUp(log);
    expect(log.fold.compensations.map(({ id }) => id)).toEqual(["flight~undo", "hotel~undo"]);
    expect(log.fold.status).toBe("running");
    expect([...log.fold.ready]).toEqual(["flight~undo"]);
    expect(log.fold.taskOf("flight~undo")).toMatchObject({
      role: "desk",
      task: "cancelFlight",
      inputs: { seat: "12A", hotel: "h1", city: "Rome" },
      n: 1,
    });
    log.result("flight~undo");
    expect([...log.fold.ready]).toEqual(["hotel~undo"]);
    expect(log.fold.dueEnd()).toBeUndefined();
    log.result("hotel~undo");
    expect(log.fold.dueEnd()).toEqual({
      status: "failed",
      error: { code: "Error", message: "no money", step: "pay" },
    });
  });

  it("gives an undoing step what the step was given and what it gave, where nothing else is said", () => {
    const log = failedTrip();
    giveUp(log);
    log.result("flight~undo");
    expect(log.fold.taskOf("hotel~undo")).toMatchObject({
      role: "worker",
      task: "leaveHotel",
      inputs: { city: "Rome", hotel: "h1" },
      idempotencyKey: "r1:hotel~undo",
    });
  });

  it("tries an undoing step again, and goes on to the others when it fails for good", () => {
    const log = failedTrip();
    giveUp(log);
    log.result("flight~undo", failed("desk closed", true));
    expect(log.fold.step("flight~undo")).toMatchObject({ state: "ready", context: { attempt: 2 } });
    log.result("flight~undo", failed("no such flight"));
    expect(log.fold.step("flight~undo").state).toBe("failed");
    log.result("hotel~undo");
    const due = log.fold.dueEnd();
    expect(due).toMatchObject({ status: "failed", error: { step: "pay" } });
    if (due) log.decide({ type: "end", status: due.status, ...(due.error && { error: due.error }) });
    expect(log.fold).toMatchObject({ status: "failed", error: { message: "no money" } });
  });

  it("does not end before what it did is undone", () => {
    const log = failedTrip();
    log.decide({ type: "end", status: "failed" });
    expect(log.fold.status).toBe("failed");
    const patient = failedTrip();
    giveUp(patient);
    patient.decide({ type: "end", status: "failed" });
    expect(patient.fold.status).toBe("running");
  });

  it("with nothing to undo ends as ever", () => {
    const log = new LogWriter().submit(trip());
    log.result("hotel", failed());
    expect(log.fold.dueEnd()).toMatchObject({ status: "failed", error: { step: "hotel" } });
    expect(log.fold.dueEnd()?.compensate).toBeUndefined();
    log.decide({ type: "compensate", status: "failed" });
    expect(log.voids.at(-1)?.verdict).toBe("void");
  });

  it("is not retried once it was undone, only run again", () => {
    const log = failedTrip();
    giveUp(log);
    log.result("flight~undo");
    log.result("hotel~undo");
    log.decide({ type: "end", status: "failed" });
    log.control("retry");
    expect(log.fold.status).toBe("failed");
    expect(log.voids.at(-1)?.reason).toContain("undone");
    expect([log.fold.isUndone("hotel"), log.fold.isUndone("pay")]).toEqual([true, false]);
  });
});

describe("a run that is cancelled", () => {
  it("undoes what completed, takes back what is open, and can no more be cancelled", () => {
    const log = new LogWriter().submit(trip());
    log.result("hotel", { outputs: { hotel: "h1" } });
    log.started("flight");
    log.control("cancel");
    giveUp(log);
    expect(log.fold.step("flight").context.outcome).toBe("cancelled");
    expect([...log.fold.ready]).toEqual(["hotel~undo"]);
    log.control("cancel");
    expect(log.voids.at(-1)?.verdict).toBe("refused");
    log.result("hotel~undo");
    expect(log.fold.dueEnd()).toMatchObject({ status: "cancelled", error: { code: "E_CANCELLED" } });
  });

  it("goes on with that although it was paused, or has spent its budget", () => {
    const log = new LogWriter().submit(trip({ budget: { dispatches: 1 } }));
    log.started("hotel");
    log.result("hotel", { outputs: { hotel: "h1" } });
    expect(log.fold.status).toBe("paused");
    log.control("cancel");
    giveUp(log);
    expect(log.fold.status).toBe("running");
    log.started("hotel~undo");
    expect(log.states()).toMatchObject({ hotel: "done" });
    expect(log.fold.dispatches.has("hotel~undo")).toBe(true);
  });
});

it("the items of a fan-out are undone one by one, each with its own item", () => {
  const log = new LogWriter().submit({
    steps: [
      step("room", {
        forEach: ["a", "b"],
        inputs: { of: "${item}" },
        compensate: { task: "free", inputs: { of: "${item}", at: "${index}", key: "${self.outputs.room}" } },
      }),
      step("pay", { dependsOn: ["room"] }),
    ],
  });
  log.result("room~1", { outputs: { room: "key-b" } });
  log.result("room~0", { outputs: { room: "key-a" } });
  log.result("pay", failed());
  giveUp(log);
  expect(log.fold.compensations.map(({ id }) => id)).toEqual(["room~0~undo", "room~1~undo"]);
  expect(log.fold.taskOf("room~0~undo").inputs).toEqual({ of: "a", at: 0, key: "key-a" });
  const { steps, compensations } = viewOf(log.fold, 0);
  const named = compensations?.map(({ step }) => step) ?? [];
  expect(named).toEqual(["room[0]~undo", "room[1]~undo"]);
  expect(Object.keys(steps)).toEqual(expect.arrayContaining(named));
});

it("an undoing step whose inputs cannot be worked out fails, and the next one begins", () => {
  const steps = [
    step("one", { compensate: "undo" }),
    step("two", {
      dependsOn: ["one"],
      compensate: { task: "undo", inputs: { x: "${self.outputs.none.x}" } },
    }),
    step("three", { dependsOn: ["two"] }),
  ];
  const log = new LogWriter().submit({ steps });
  log.result("one", { outputs: { one: 1 } });
  log.result("two", { outputs: { two: 2 } });
  log.result("three", failed());
  giveUp(log);
  expect(log.fold.step("two~undo").context.failures[0]?.error.code).toBe("E_EXPRESSION");
  expect([...log.fold.ready]).toEqual(["one~undo"]);
});

it("a replay of the log comes to the same", () => {
  const log = failedTrip();
  giveUp(log);
  log.result("flight~undo");
  const replayed = new RunFold(log.run);
  for (const record of log.records) replayed.apply(record);
  expect([...replayed.ready]).toEqual([...log.fold.ready]);
  expect(replayed.dueEnd()).toEqual(log.fold.dueEnd());
});
