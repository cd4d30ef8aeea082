/**
 * `npx tsx scripts/golden-lives.ts --name NAME [--seeds N] [--seed S]`: keeps logs of simulated runs for later
 * versions to read, as `test/golden-logs/NAME-<seed>-<run>.jsonl`: of N lives the few runs that together hold
 * everything that any of them holds, each kind of record, decision, control, event, refusal and error. Files that are
 * there stay as they are. A claim that gives records another meaning (`rules`) gets logs of its own: `life-3` is kept
 * of `rules: 3`.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { LogRecord } from "../src/bus/bus.ts";
import { addressOf, encodeEntry } from "../src/bus/record.ts";
import { subjectsOf } from "../src/bus/subjects.ts";
import { productVersion } from "../src/cli/product-version.ts";
import { tryOut } from "../src/simulation/shrink.ts";
import { replay } from "../src/trace/replay.ts";
import { GOLDEN_FOLDER, type GoldenLog, meaningOf, recordsOf } from "../test/golden-logs/golden-log.ts";

const { values } = parseArgs({
  options: {
    name: { type: "string" },
    seeds: { type: "string", default: "400" },
    seed: { type: "string", default: "1" },
  },
});
const { name } = values;
const first = Number(values.seed);
const count = Number(values.seeds);
if (name === undefined || !Number.isInteger(first) || !Number.isInteger(count) || count < 1) {
  process.stderr.write("--name NAME is needed; --seeds and --seed are whole numbers, --seeds from 1.\n");
  process.exit(2);
}

const subjects = subjectsOf("main");

interface Candidate {
  file: string;
  text: string;
  holds: ReadonlySet<string>;
}

const candidates: Candidate[] = [];
for (let seed = first; seed < first + count; seed++) {
  const { life, verdict } = await tryOut({ seed });
  if (verdict.wrongs.length > 0) continue;
  for (const [run, records] of life.logs) candidates.push(await candidateOf(seed, run, records));
}
const missing = new Set(candidates.flatMap(({ holds }) => [...holds]));
process.stdout.write(`${candidates.length} runs hold ${missing.size} different things\n`);
while (missing.size > 0) {
  const [best] = candidates.toSorted((a, b) => worth(b) - worth(a));
  if (best === undefined) break;
  for (const held of best.holds) missing.delete(held);
  const path = join(GOLDEN_FOLDER, best.file);
  if (!existsSync(path)) writeFileSync(path, best.text);
  process.stdout.write(`${best.file}: ${best.text.length} bytes, ${missing.size} left\n`);
}
process.exit(0);

/** What a log adds to those that are kept, for its size. */
function worth({ holds, text }: Candidate): number {
  return [...holds].filter((held) => missing.has(held)).length / text.length;
}

async function candidateOf(seed: number, run: string, records: readonly LogRecord[]): Promise<Candidate> {
  const messages = records
    .filter((record) => record.kind !== "unreadable")
    .map((record) => ({
      subject: subjects.record(run, addressOf(record)),
      seq: record.seq,
      ts: record.ts,
      data: Buffer.from(encodeEntry(record)).toString("base64"),
    }));
  const kept = recordsOf(run, messages);
  const half = kept.slice(0, Math.ceil(kept.length / 2));
  const head: Omit<GoldenLog, "messages"> = {
    version: productVersion(),
    run,
    half: false,
    expected: await meaningOf(run, kept),
    halfway: { records: half.length, expected: await meaningOf(run, half) },
  };
  const text = `${[head, ...messages].map((line) => JSON.stringify(line)).join("\n")}\n`;
  return { file: `${name}-${seed}-${run}.jsonl`, text, holds: await contentOf(run, kept) };
}

/** What there is in a log that a later version could read otherwise. */
async function contentOf(run: string, records: readonly LogRecord[]): Promise<Set<string>> {
  const holds = new Set<string>();
  for (const record of records) {
    if (record.kind === "unreadable") continue;
    const { kind, body } = record;
    const what = [
      kind,
      ...("type" in body ? [body.type] : []),
      ...("verb" in body ? [body.verb] : []),
      ...("status" in body ? [body.status] : []),
    ].join(" ");
    for (const field of Object.keys(body)) holds.add(`${what}.${field}`);
  }
  const { fold, transitions, voids } = await replay(run, records);
  for (const { kind, from, event, to } of transitions) holds.add(`${kind} ${from} ${event} ${to}`);
  const kinds = new Map(records.map((record) => [record.seq, record.kind]));
  for (const { seq, verdict } of voids) holds.add(`${verdict} ${kinds.get(seq)}`);
  for (const { id } of fold.steps?.all() ?? []) {
    const { state, context } = fold.step(id);
    holds.add(`${state} ${context.outcome}`);
  }
  const { error } = fold;
  if (error !== undefined) holds.add(error.code ?? "failed");
  return holds;
}
