/**
 * Several daemons on one broker, as processes that are killed, stopped and continued.
 * Catches: a run that stays with a daemon that is dead or hangs, one that is held twice, a daemon that wakes up and
 * gives out again what was done meanwhile, and a hand-over that waits for a time-out.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTestNats, type TestNats } from "../support/nats.ts";
import { columns, expectOneCompletionEach, expectWhole, holderPid, results, Stage } from "./stage.ts";

let stage: Stage;
beforeEach(() => {
  stage = new Stage();
});
afterEach(() => stage.end());

describe("two daemons on one broker", () => {
  let nats: TestNats;
  beforeEach(async () => {
    nats = await startTestNats();
    stage.useBroker(nats);
  });
  afterEach(() => nats.stop());

  it("share the runs by the room that they have", async () => {
    const room = ["--max-runs", "2", "--http", "127.0.0.1:0"];
    const daemons = await Promise.all([stage.daemon(...room), stage.daemon(...room)]);
    const runs = ["a", "b", "c", "d", "e"];
    for (const run of runs) await stage.submit(columns(1, 1, 0), run);
    const held = async () => {
      const pages = await Promise.all(daemons.map(({ http }) => fetch(`${http}/readyz`)));
      return Promise.all(pages.map(async (page) => ((await page.json()) as { runs: number }).runs));
    };
    // Nobody serves the role yet: each daemon keeps what it took, and one run waits for room.
    while ((await held()).join() !== "2,2") await new Promise(setImmediate);
    await stage.agent();
    for (const run of runs) expect((await stage.run("watch", run)).code).toBe(0);
  });

  it("a run whose daemon hangs goes on at the other; the one that wakes up does no harm, and takes over when the other is killed", async () => {
    const steps = 400;
    const flags = ["--ack-wait", "2s"];
    const daemons = await Promise.all([stage.daemon(...flags), stage.daemon(...flags)]);
    await Promise.all([stage.agent(), stage.agent()]);
    const bus = await stage.bus();
    const wide = 8;
    await stage.submit(columns(steps, wide, 10));
    await results(bus, "r1", 60);
    const hung = holderPid(await stage.log());
    expect(daemons.map(({ pid }) => pid)).toContain(hung);
    process.kill(hung, "SIGSTOP");
    // The other has it, and is in the middle of it, when the first wakes up.
    await results(bus, "r1", 200);
    const other = holderPid(await stage.log());
    expect(other).not.toBe(hung);
    process.kill(hung, "SIGCONT");
    await results(bus, "r1", 320);
    expect(holderPid(await stage.log())).toBe(other);
    process.kill(other, "SIGKILL");
    expect((await stage.run("watch", "r1")).code).toBe(0);
    expectWhole(await stage.log(), steps);
    await expectOneCompletionEach(stage, "r1", steps);
    // Execution is at least once: what the daemon was handing to its socket when it was stopped leaves it when it wakes
    // up, and may be done by then. Nothing else may be given out twice.
    const started = stage.executions();
    const again = started.filter(({ step }, index) => started.findIndex((one) => one.step === step) < index);
    expect(started.length - again.length).toBe(steps);
    expect(again.length).toBeLessThanOrEqual(wide);
  });

  it("a run is handed over at once by a daemon that stops, and taken up at once by one that finds itself alone", async () => {
    // Nobody would wait so long for the ack-wait.
    const flags = ["--ack-wait", "1h"];
    const daemons = await Promise.all([stage.daemon(...flags), stage.daemon(...flags)]);
    await stage.agent();
    const bus = await stage.bus();
    await stage.submit(columns(160, 4, 10));
    await results(bus, "r1", 20);
    const first = holderPid(await stage.log());
    const [stopped, other] = daemons[0]?.pid === first ? daemons : [daemons[1], daemons[0]];
    expect((await stopped?.cli.kill("SIGTERM"))?.code).toBe(0);
    await results(bus, "r1", 80);
    await other?.cli.kill("SIGKILL");
    await stage.daemon();
    expect((await stage.run("watch", "r1")).code).toBe(0);
    expectWhole(await stage.log(), 160);
  });
});

describe("a daemon with a broker of its own", () => {
  it("goes on with every unfinished run at its next start, without waiting", async () => {
    const first = await stage.daemon("--ack-wait", "1h");
    await stage.agent();
    const runs = ["r1", "r2", "r3"];
    for (const run of runs) await stage.submit(columns(60, 4, 20), run);
    await results(await stage.bus(), "r3", 10);
    await first.cli.kill("SIGKILL");
    await stage.daemon();
    for (const run of runs) {
      expect((await stage.run("watch", run)).code).toBe(0);
      expectWhole(await stage.log(run), 60);
    }
  });
});
