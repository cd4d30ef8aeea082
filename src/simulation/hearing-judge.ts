/**
 * What must be true of a holder's ears: what people say of its run, and how a dispatch ended, reaches it in time,
 * though the live copy of the record was lost and nothing younger shows that.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { Evidence, Fact } from "./evidence.ts";
import type { Reference } from "./reference.ts";
import type { Say } from "./scenario.ts";

/** Two silences of a holder that has something out, and a while to ask the log in. */
const HEARS_WITHIN_MS = 12_000;
/** More than a call and its answer take on a slow network. */
const SLOW_MS = 7_000;
const WORLD_BEGAN = 1_700_000_000_000;

/** @param slow whether calls take their time */
export function hearing(
  { run, records, facts }: { run: string; records: readonly LogRecord[]; facts: readonly Fact[] },
  reference: Reference,
  { hindrances }: Evidence,
  slow: boolean,
  say: Say,
): void {
  const withinMs = HEARS_WITHIN_MS + (slow ? SLOW_MS : 0);
  const claims = facts.filter((fact): fact is Fact & { kind: "claimed" } => fact.kind === "claimed");
  const heardAt = new Map<number, number>();
  for (const fact of facts)
    if (fact.kind === "folded" && !heardAt.has(fact.seq)) heardAt.set(fact.seq, fact.at);
  const pushed = facts.filter((fact): fact is Fact & { kind: "pushed" } => fact.kind === "pushed");
  const all = [...reference.openings.values(), ...reference.questions.asked];
  const closing = new Set(all.map(({ closeSeq }) => closeSeq));
  for (const record of records) {
    const matters = record.kind === "control" || (record.kind === "result" && closing.has(record.seq));
    if (!matters) continue;
    const from = record.ts - WORLD_BEGAN;
    const to = from + withinMs;
    if ((heardAt.get(record.seq) ?? Number.POSITIVE_INFINITY) <= to) continue;
    const claim = claims.findLast(({ seq }) => seq < record.seq);
    // Between two holders nobody listens: the next one reads all of the log.
    if (claim === undefined || claims.some(({ at }) => at >= from && at <= to)) continue;
    const holder = claim.party;
    // Nor who was hindered since it claimed: a holder that cannot plan gives the run back.
    if (hindrances.some((one) => one.party === holder && one.from <= to && one.to >= claim.at)) continue;
    // A holder that has nothing out may listen less and less often, or put the run away.
    const isOut = pushed.some(({ at, party, step, n }) => {
      const opening = reference.openings.get(`${step}#${n}`) ?? reference.questions.of(step, n);
      return party === holder && at <= from && opening !== undefined && isOpenAt(opening, record.seq);
    });
    if (isOut)
      say(
        "a holder hears in time what was said",
        `${run} ${record.seq}: ${holder} does not fold it within ${withinMs} ms`,
      );
  }
}

function isOpenAt({ openSeq, closeSeq }: { openSeq: number; closeSeq: number }, seq: number): boolean {
  return openSeq < seq && closeSeq >= seq;
}
