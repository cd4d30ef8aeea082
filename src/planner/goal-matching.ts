/**
 * Free-text goals become wanted keys: the keys of the task whose own words fit the goal best.
 *
 * The words of a task are its name, its synonyms, the keys that it gives, its description and its role's;
 * nothing here knows any particular swarm. Ranked by minisearch (BM25+), word by word, so that it is known
 * which word met which field. What ranking alone cannot say is added by rule:
 *  - a task that ends a line of work (nobody needs what it gives) is what a person asks for, rather than a
 *    step on the way to it that has the same words;
 *  - another clause of the goal may ask for another task, unless the goal limits itself ("only …");
 *  - what the goal rules out ("without …") must not be used.
 * A goal that fits nothing, or two tasks equally, is an error with the candidates, never a guess.
 */
import MiniSearch, { type SearchResult } from "minisearch";
import type { Capability, RoleCard } from "../workflow/capability.ts";
import { NoPlanError } from "../workflow/errors.ts";
import { list } from "./explain.ts";
import { type Clause, contentWords, readGoal, stems } from "./goal-words.ts";
import { compareText, unique } from "./problem.ts";

export interface GoalMatch {
  goal: string;
  /** The wanted key; a goal that asks for several keys has several matches. */
  key: string;
  /** The task that the goal's words fit. */
  role: string;
  task: string;
  /** 0 to 1. */
  confidence: number;
  runnerUp?: { role: string; task: string; keys: string[]; confidence: number };
}

export interface MatchedGoals {
  readonly matches: readonly GoalMatch[];
  /** Why a task must not be used, by `role.task`. */
  readonly ruledOut: ReadonlyMap<string, string>;
}

/** Below it a goal is unclear. A lone word of a description does not reach it; a task's name does. */
const CONFIDENCE_THRESHOLD = 0.35;
/** How much a rival that fits as well takes off a match's confidence. */
const RIVALRY = 0.4;
/** Two tasks whose scores differ by less fit equally well. */
const TIE = 0.97;
/** A task at the end of a line is preferred to one on the way that fits better, down to this share of it. */
const DELIVERABLE_SHARE = 0.4;
/** Reached by a word of a name, a key or a synonym; not by a lone word of a description. */
const STRONG = 0.5;
const CANDIDATES_SHOWN = 5;

const BOOST = {
  name: 5,
  synonyms: 5,
  gives: 4,
  phrases: 1.5,
  description: 1.5,
  role: 1,
  roleDescription: 0.5,
} as const;
type Field = keyof typeof BOOST;
/** How sure a word's meeting with a field makes one. */
const CERTAINTY: Record<Field, number> = {
  name: 0.8,
  synonyms: 0.8,
  gives: 0.75,
  phrases: 0.4,
  description: 0.4,
  role: 0.4,
  roleDescription: 0.25,
};
/** A synonym of several words that the goal says in full counts as much as this many words. */
const PHRASE_WORDS = 2;

interface Entry {
  readonly id: number;
  readonly role: string;
  readonly capability: Capability;
  readonly keys: readonly string[];
  readonly nameWords: readonly string[];
  /** Synonyms of several words, or of common ones ("why"): to be found as they are. */
  readonly phrases: readonly (readonly string[])[];
  /** Nobody else needs or uses what it gives. */
  readonly deliverable: boolean;
}

interface Ranked {
  readonly entry: Entry;
  readonly score: number;
  readonly words: ReadonlySet<string>;
  /** 0 to 1, before rivals are looked at. */
  readonly strength: number;
}

/** @throws NoPlanError `E_GOAL_UNCLEAR` */
export function matchGoals(goals: readonly string[], cards: readonly RoleCard[]): MatchedGoals {
  const entries = entriesOf(cards);
  const index = indexOf(entries, cards);
  const matches: GoalMatch[] = [];
  const ruledOut = new Map<string, string>();
  for (const goal of goals) {
    const words = readGoal(goal);
    const forbidden = entries.filter((entry) => isNamedBy(entry, words.ruledOut));
    const rank = (clause: Clause): Ranked[] =>
      rankEntries(index, entries, clause).filter(({ entry }) => !forbidden.includes(entry));
    const whole: Clause = {
      words: unique(words.clauses.flatMap((clause) => clause.words)),
      running: words.clauses.flatMap((clause) => clause.running),
    };
    const byClause = words.limited ? [] : clauseDecisions(words.clauses, rank, entries);
    const chosen = byClause.length > 0 ? byClause : [decide(goal, rank(whole), entries)];
    for (const { best, runnerUp, confidence } of chosen) {
      for (const key of askedKeys(best.entry, whole.words)) {
        if (matches.some((match) => match.key === key)) continue;
        matches.push({
          goal,
          key,
          role: best.entry.role,
          task: best.entry.capability.name,
          confidence,
          ...(runnerUp !== undefined && { runnerUp }),
        });
      }
    }
    for (const { role, capability } of forbidden) {
      ruledOut.set(`${role}.${capability.name}`, ruledOutReason(words.ruledOutText));
    }
  }
  return { matches, ruledOut };
}

/** Why a task must not be used, by `role.task`: what the goals rule out, whether or not they are clear otherwise. */
export function tasksRuledOut(
  goals: readonly string[],
  cards: readonly RoleCard[],
): ReadonlyMap<string, string> {
  const ruling = goals.map(readGoal).filter(({ ruledOut }) => ruledOut.length > 0);
  if (ruling.length === 0) return new Map();
  const entries = entriesOf(cards);
  return new Map(
    ruling.flatMap(({ ruledOut, ruledOutText }) =>
      entries
        .filter((entry) => isNamedBy(entry, ruledOut))
        .map(({ role, capability }) => [`${role}.${capability.name}`, ruledOutReason(ruledOutText)] as const),
    ),
  );
}

const ruledOutReason = (text: string): string => `the goal rules it out (“${text}”)`;

function entriesOf(cards: readonly RoleCard[]): Entry[] {
  const readers = new Map<string, Set<string>>();
  for (const card of cards) {
    for (const task of card.tasks) {
      for (const key of [...task.needs, ...(task.uses ?? [])]) {
        const names = readers.get(key) ?? new Set<string>();
        readers.set(key, names.add(`${card.role}.${task.name}`));
      }
    }
  }
  const readByOther = (key: string, own: string): boolean => {
    const names = readers.get(key);
    return names !== undefined && names.size > (names.has(own) ? 1 : 0);
  };
  return cards
    .flatMap((card) => card.tasks.map((capability) => ({ role: card.role, capability })))
    .filter(({ capability }) => capability.gives.length > 0)
    .sort((a, b) => compareText(a.capability.name, b.capability.name) || compareText(a.role, b.role))
    .map(({ role, capability }, id) => ({
      id,
      role,
      capability,
      keys: unique(capability.gives),
      nameWords: contentWords(capability.name),
      phrases: (capability.synonyms ?? []).filter((text) => !isWord(text)).map(stems),
      deliverable: !capability.gives.some((key) => readByOther(key, `${role}.${capability.name}`)),
    }));
}

function indexOf(entries: readonly Entry[], cards: readonly RoleCard[]): MiniSearch {
  const descriptions = new Map(cards.map((card) => [card.role, card.description ?? ""]));
  const index = new MiniSearch({
    fields: Object.keys(BOOST),
    tokenize: contentWords,
    processTerm: (term) => term,
    searchOptions: { tokenize: (text) => [text], processTerm: (term) => term, boost: { ...BOOST } },
  });
  index.addAll(
    entries.map(({ id, role, capability }) => ({
      id,
      name: capability.name,
      synonyms: (capability.synonyms ?? []).filter(isWord).join(" "),
      phrases: (capability.synonyms ?? []).filter((text) => !isWord(text)).join(" "),
      gives: capability.gives.join(" "),
      description: capability.description ?? "",
      role,
      roleDescription: descriptions.get(role) ?? "",
    })),
  );
  return index;
}

function rankEntries(index: MiniSearch, entries: readonly Entry[], { words, running }: Clause): Ranked[] {
  const found = new Map<Entry, { score: number; words: Set<string>; doubt: number }>();
  const tally = (entry: Entry) => {
    const known = found.get(entry) ?? { score: 0, words: new Set<string>(), doubt: 1 };
    found.set(entry, known);
    return known;
  };
  for (const word of words) {
    const results = index.search(word, { prefix: word.length >= 4, fuzzy: word.length >= 5 ? 0.2 : false });
    for (const result of results) {
      const sums = tally(entries[result.id as number] as Entry);
      sums.score += result.score;
      sums.words.add(word);
      sums.doubt *= 1 - certaintyOf(result, word);
    }
  }
  const perWord = Math.max(0, ...[...found.values()].map(({ score, words: met }) => score / met.size));
  for (const entry of entries) {
    if (!entry.phrases.some((phrase) => phrase.length > 0 && includesPhrase(running, phrase))) continue;
    const sums = tally(entry);
    sums.score += PHRASE_WORDS * perWord || 1;
    sums.doubt *= 1 - CERTAINTY.synonyms;
  }
  return [...found]
    .map(([entry, sums]): Ranked => {
      const coverage = words.length === 0 ? 1 : sums.words.size / words.length;
      return {
        entry,
        score: sums.score * nameShare(entry, words),
        words: sums.words,
        strength: (1 - sums.doubt) * (0.7 + 0.3 * Math.min(1, coverage)),
      };
    })
    .sort((a, b) => b.score - a.score || a.entry.id - b.entry.id);
}

/** A name of which the goal says only a part fits it less than one that it says in full. */
function nameShare(entry: Entry, words: readonly string[]): number {
  if (entry.nameWords.length === 0) return 1;
  const said = entry.nameWords.filter((word) => words.includes(word)).length;
  return said === 0 ? 1 : 0.6 + (0.4 * said) / entry.nameWords.length;
}

function certaintyOf(result: SearchResult, word: string): number {
  let most = 0;
  for (const [term, fields] of Object.entries(result.match)) {
    const sameness = term === word ? 1 : 0.6;
    for (const field of fields) most = Math.max(most, sameness * CERTAINTY[field as Field]);
  }
  return most;
}

interface Decision {
  readonly best: Ranked;
  readonly confidence: number;
  readonly runnerUp: GoalMatch["runnerUp"];
}

function decide(goal: string, ranking: readonly Ranked[], entries: readonly Entry[]): Decision {
  const [first] = ranking;
  if (first === undefined) throw unclear(goal, [], entries, "No capability has a word of it");
  const end = first.entry.deliverable ? undefined : deliverableFor(first, ranking, entries);
  const decision = weigh(end ?? first, ranking);
  if (decision.confidence < CONFIDENCE_THRESHOLD) {
    throw unclear(goal, ranking, entries, "The best match is too weak to act on");
  }
  if (isTied(decision, ranking)) throw unclear(goal, ranking, entries, "It fits several tasks equally");
  return decision;
}

function isTied({ best }: Decision, ranking: readonly Ranked[]): boolean {
  const rival = rivalOf(best, ranking);
  if (rival === undefined || rival.score < TIE * best.score) return false;
  // The end of a line wins a tie against what is on the way to one.
  return !best.entry.deliverable || rival.entry.deliverable;
}

/**
 * What each clause asks for, where it does so beyond doubt: by a name, a key or a synonym. With one clause
 * there is nothing to tell apart. A clause may mean a step on the way; when none asks for more than that,
 * the last one means what that way ends in.
 */
function clauseDecisions(
  clauses: readonly Clause[],
  rank: (clause: Clause) => Ranked[],
  entries: readonly Entry[],
): Decision[] {
  if (clauses.length < 2) return [];
  const decisions: Decision[] = [];
  let lastRanking: Ranked[] = [];
  for (const clause of clauses) {
    const ranking = rank(clause);
    const [first] = ranking;
    if (first === undefined || first.strength < STRONG) continue;
    const decision = weigh(first, ranking);
    if (decision.confidence < CONFIDENCE_THRESHOLD || isTied(decision, ranking)) continue;
    lastRanking = ranking;
    if (!decisions.some(({ best }) => best.entry === decision.best.entry)) decisions.push(decision);
  }
  const last = decisions.at(-1);
  if (last === undefined || decisions.some(({ best }) => best.entry.deliverable)) return decisions;
  const end = deliverableFor(last.best, lastRanking, entries);
  return end === undefined ? decisions : [...decisions.slice(0, -1), weigh(end, lastRanking)];
}

function weigh(best: Ranked, ranking: readonly Ranked[]): Decision {
  const rival = rivalOf(best, ranking);
  const closeness = rival === undefined ? 0 : Math.min(1, rival.score / best.score);
  return {
    best,
    confidence: round(best.strength * (1 - RIVALRY * closeness)),
    runnerUp: rival && {
      role: rival.entry.role,
      task: rival.entry.capability.name,
      keys: [...rival.entry.keys],
      confidence: round(rival.strength * (1 - RIVALRY) * closeness),
    },
  };
}

/** A task at the end of the line that starts at `first`, and that the goal's words fit as far. */
function deliverableFor(
  first: Ranked,
  ranking: readonly Ranked[],
  entries: readonly Entry[],
): Ranked | undefined {
  const below = downstreamOf(first.entry, entries);
  return ranking.find(
    (other) =>
      other.entry.deliverable &&
      below.has(other.entry) &&
      other.score >= DELIVERABLE_SHARE * first.score &&
      other.strength >= STRONG &&
      [...first.words].every((word) => other.words.has(word)),
  );
}

function downstreamOf(entry: Entry, entries: readonly Entry[]): Set<Entry> {
  const below = new Set<Entry>();
  const keys = [...entry.keys];
  const seen = new Set(keys);
  for (let key = keys.pop(); key !== undefined; key = keys.pop()) {
    for (const other of entries) {
      if (below.has(other) || other === entry) continue;
      if (!other.capability.needs.includes(key) && !(other.capability.uses ?? []).includes(key)) continue;
      below.add(other);
      for (const give of other.keys) {
        if (seen.has(give)) continue;
        seen.add(give);
        keys.push(give);
      }
    }
  }
  return below;
}

/** The best of those that give something else. */
function rivalOf(chosen: Ranked, ranking: readonly Ranked[]): Ranked | undefined {
  return ranking.find(
    (other) => other !== chosen && !chosen.entry.keys.every((key) => other.entry.keys.includes(key)),
  );
}

/** Those of its keys that the goal names, or else all of them. */
function askedKeys(entry: Entry, words: readonly string[]): readonly string[] {
  const named = entry.keys.filter((key) => contentWords(key).every((word) => words.includes(word)));
  return named.length > 0 ? named : entry.keys;
}

/** Whether the words name the task in full: by its name, a key, or a synonym. */
function isNamedBy(entry: Entry, words: readonly string[]): boolean {
  if (words.length === 0) return false;
  const texts = [entry.capability.name, ...entry.keys, ...(entry.capability.synonyms ?? [])];
  return texts.some((text) => {
    const own = contentWords(text);
    return own.length > 0 && own.every((word) => words.includes(word));
  });
}

/** One word that carries meaning. */
function isWord(text: string): boolean {
  return stems(text).length === 1 && contentWords(text).length === 1;
}

function includesPhrase(running: readonly string[], phrase: readonly string[]): boolean {
  return running.some((_, start) => phrase.every((word, offset) => running[start + offset] === word));
}

function unclear(
  goal: string,
  ranking: readonly Ranked[],
  entries: readonly Entry[],
  why: string,
): NoPlanError {
  const shown: readonly { entry: Entry; strength?: number }[] =
    ranking.length > 0 ? ranking : offered(entries).map((entry) => ({ entry }));
  const candidates = shown.slice(0, CANDIDATES_SHOWN).map(({ entry, strength }) => ({
    role: entry.role,
    task: entry.capability.name,
    keys: [...entry.keys],
    // Against its rivals, as a match's confidence is when another fits as well.
    ...(strength !== undefined && { confidence: round(strength * (1 - RIVALRY)) }),
  }));
  const names = list(
    candidates.map(({ role, task, keys, confidence }) => {
      const sure = confidence === undefined ? "" : `, ${Math.round(100 * confidence)} % sure`;
      return `${role}.${task} (gives ${list(keys)}${sure})`;
    }),
  );
  return new NoPlanError("E_GOAL_UNCLEAR", `It is unclear what “${goal}” asks for. ${why}.`, {
    remedy:
      candidates.length === 0
        ? "Start agents first: no capability is there."
        : `Name the key with --want KEY, or say it in the words of a capability: ${names}.`,
    data: { goal, candidates },
  });
}

/** What can be asked for, when the goal gives no hint. */
function offered(entries: readonly Entry[]): readonly Entry[] {
  const ends = entries.filter(({ deliverable }) => deliverable);
  return ends.length > 0 ? ends : entries;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
