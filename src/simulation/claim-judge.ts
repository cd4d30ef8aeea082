/** What must be true of large values: no message that the runtime writes carries one. */
import { Packr } from "msgpackr";
import type { LogRecord } from "../bus/bus.ts";
import type { Fact } from "./evidence.ts";
import type { KeptValues } from "./kept-values.ts";
import { QUESTIONS } from "./reference-questions.ts";
import type { Say } from "./scenario.ts";

/** The shortest MessagePack, which is what travels: names and texts of a document are a good deal longer as JSON. */
const packr = new Packr({ useRecords: false, variableMapSize: true });
/** One message may carry so many values of just below the bound. */
const VALUES = 2;

export function claimChecks(
  run: string,
  records: readonly LogRecord[],
  facts: readonly Fact[],
  { fromBytes }: KeptValues,
  say: Say,
): void {
  if (fromBytes === undefined) return;
  const check = (where: string, values: Record<string, unknown> = {}): void => {
    const sizes = Object.values(values).map((value) => packr.pack(value).length);
    const largest = Math.max(0, ...sizes);
    const all = sizes.reduce((sum, size) => sum + size, 0);
    if (largest > fromBytes || all > VALUES * fromBytes)
      say("a large value goes by claim check", `${run} ${where} carries ${largest} and ${all} together`);
  };
  for (const record of records) {
    const { seq } = record;
    if (record.kind === "result") {
      check(`${seq}`, record.body.outputs);
      check(`${seq}`, record.body.handoff?.inputs);
    } else if (record.kind === "env") check(`${seq}`, { value: record.body.value });
    else if (record.kind === "decision" && record.body.type === "end") check(`${seq}`, record.body.outputs);
    else if (record.kind === "decision" && record.body.type === "resolved") {
      check(`${seq}`, record.body.inputs);
      for (const item of record.body.items ?? []) check(`${seq}`, { item });
    }
  }
  // What a planner is told of its swarm is no value of the run.
  for (const fact of facts)
    if (fact.kind === "pushed" && fact.step !== QUESTIONS)
      check(`${fact.step}#${fact.n} by ${fact.party}`, fact.inputs);
}
