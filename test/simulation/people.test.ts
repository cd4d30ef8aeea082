/**
 * The people of a simulated life get to say what they want to say. Would catch: a fault that swallows a submission or
 * an answer for good, so that a life has nothing to judge, or waits for an answer that nobody will give.
 */
import { expect, it } from "vitest";
import type { People } from "../../src/simulation/people.ts";
import { randomScenario } from "../../src/simulation/random-scenario.ts";
import { simulate } from "../../src/simulation/simulate.ts";

/** Of this seed, in which processes die often. */
const SEED = 23;
const SAID = 1_000;

it("what people say is stored and confirmed, whoever dies meanwhile", async () => {
  const scenario = randomScenario(SEED);
  let people: People | undefined;
  const life = await simulate(
    {
      ...scenario,
      attend(them) {
        people = them;
        scenario.attend(them);
        for (let at = 1; at <= SAID; at++) them.after(at * 10, () => them.setKey("r1", "note", at));
      },
    },
    { seed: SEED, faults: { only: new Set(["crash"]) } },
  );
  const notes = new Set(
    life.logs.get("r1")?.map((record) => (record.kind === "env" ? record.body.value : undefined)),
  );
  const unheard = Array.from({ length: SAID }, (_, at) => at + 1).filter((note) => !notes.has(note));
  expect({ idle: people?.idle, unheard }).toEqual({ idle: true, unheard: [] });
  expect(life.world.lines.filter((line) => / client +dies in append /.test(line)).length).toBeGreaterThan(0);
});
