/** Runs that are removed, and ids that are used again. Catches: a page that goes on showing a run which is gone. */
import { expect, it } from "vitest";
import type { LogEntry } from "../../src/bus/bus.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { RunLibrary } from "../../src/http/run-library.ts";
import { NotFoundError } from "../../src/workflow/errors.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

const submission = (name: string): LogEntry => ({
  kind: "submit",
  body: { v: 1, workflow: { name, steps: [{ id: "a", agent: "x", task: "t" }] }, inputs: {} },
});

it("a run that was removed is not found, and the next one of its name is shown as it is", async () => {
  const clock = new VirtualClock();
  const bus = createMemoryBroker({ clock }).connect();
  const library = new RunLibrary({ bus, clock });
  const nameOf = () => library.use("r1", ({ fold }) => fold.graph?.name);
  await bus.log.append("r1", submission("old"), { expectLast: 0 });
  const made = { v: 1, epoch: 1, at: 1 } as const;
  const claim = { ...made, id: "claim", type: "claim", holder: "h" } as const;
  const end = { ...made, id: "end", type: "end", status: "cancelled" } as const;
  await bus.log.append("r1", { kind: "decision", body: claim });
  await bus.log.append("r1", { kind: "control", body: { v: 1, verb: "cancel", by: "ada" } });
  const ended = await bus.log.append("r1", { kind: "decision", body: end });
  expect(await nameOf()).toBe("old");
  await bus.log.purge("r1", { from: 1, to: (ended.ok && ended.seq) || 0 });
  await expect(nameOf()).rejects.toThrow(NotFoundError);
  await bus.log.append("r1", submission("new"), { expectLast: 0 });
  expect(await nameOf()).toBe("new");
  library.close();
});
