/**
 * Readings of runs, over a log that is told as slowly as the test likes. Catches: a page that waits for the whole
 * log before it can draw the graph, a graph shown before it is known what must be hidden in it, a long log that is
 * given up although it is being told, and a broker that has fallen silent being waited for for ever.
 */
import { describe, expect, it } from "vitest";
import { settle, slowLog, workflow } from "./slow-log.ts";

describe("a run whose log is still being read", () => {
  it("tells its graph as soon as the workflow is known, and how it ended once all is read", async () => {
    const { library, records, tell, finish } = slowLog(workflow);
    const outline = library.useEarly("r1", ({ fold, lastSeq }) => [fold.graph?.size, lastSeq]);
    let whole: string | undefined;
    const state = library.use("r1", ({ fold }) => {
      whole = fold.step("a").state;
    });
    await settle();
    tell(records[0]);
    expect(await outline).toEqual([2, records[0]?.seq]);
    await settle();
    expect(whole).toBeUndefined();
    for (const record of records.slice(1)) tell(record);
    finish();
    await state;
    expect(whole).toBe("done");
  });

  it("tells nothing early where the workflow names secrets: their values may come later", async () => {
    const { library, records, tell, finish } = slowLog({ ...workflow, secrets: ["password"] });
    let told = 0;
    const outline = library.useEarly("r1", () => {
      told += 1;
    });
    await settle();
    for (const record of records) tell(record);
    await settle();
    expect(told).toBe(0);
    finish();
    await outline;
    expect(told).toBe(1);
  });

  it("is waited for as long as something comes, and given up when nothing does", async () => {
    const { library, clock, records, tell } = slowLog(workflow);
    const failed = library.use("r1", () => undefined).catch((error: { code: string }) => error.code);
    await settle();
    for (const record of records) {
      tell(record);
      await clock.advance(9_000);
    }
    expect(library.open).toBe(1);
    await clock.advance(20_000);
    expect(await failed).toBe("E_BROKER_AWAY");
    expect(library.open).toBe(0);
  });
});

describe("a reading that nobody uses any more", () => {
  it("is kept for ten minutes when the run has ended, for half a minute when it goes on", async () => {
    for (const [ended, keptMs] of [
      [true, 600_000],
      [false, 30_000],
    ] as const) {
      const { library, clock, records, tell, finish, closed } = slowLog(workflow, ended);
      const read = library.use("r1", () => undefined);
      await settle();
      for (const record of records) tell(record);
      finish();
      await read;
      await clock.advance(keptMs - 1);
      expect([library.open, closed()]).toEqual([1, 0]);
      await clock.advance(1);
      expect([library.open, closed()]).toEqual([0, 1]);
    }
  });
});
