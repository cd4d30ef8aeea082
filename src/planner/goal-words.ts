/**
 * Reads a goal's words: which it asks for, clause by clause, which it rules out, and whether it limits
 * itself ("only", "just"). Words are brought to a common stem, so that "analyse", "analysis" and "analyst"
 * meet; the stems are only ever compared with each other, never shown.
 */

export interface Clause {
  /** Stems of the words that carry meaning, each once. */
  readonly words: readonly string[];
  /** All stems in order, common words included: phrases are found here. */
  readonly running: readonly string[];
}

export interface GoalWords {
  /** What it asks for; clauses without words are left out. */
  readonly clauses: readonly Clause[];
  /** Stems that the goal rules out ("without …", "no …"). */
  readonly ruledOut: readonly string[];
  /** The words that rule out, for people. */
  readonly ruledOutText: string;
  /** Whether it says that it wants nothing else. */
  readonly limited: boolean;
}

const LIMITERS = /\b(?:only|just|merely|solely|simply|nothing (?:but|else than|more than)|no more than)\b/g;
const NEGATIONS =
  /\b(?:without|with no|no|not|don't|do not|never|skip|skipping|except|excluding|omit|omitting|leave out|leaving out|instead of|rather than)\b/;
const CLAUSE_BREAKS = /[,;:.!?\n]+|\s(?:and|then|but|plus|&)\s/;

const ENDINGS: readonly (readonly [ending: RegExp, instead: string])[] = [
  [/(?:yses|ysis|ysing|yzing|ysed|yzed|yse|yze|yst|ysts|ytics?)$/, "ys"],
  [/(?:isations?|izations?|ising|izing|ised|ized|ises|izes|ise|ize)$/, ""],
  [/ies$/, "y"],
  [/(?<=ss)es$/, ""],
  [/(?<![su])s$/, ""],
  [/(?<=.{3})(?:ings?|ed|ers?|ors?)$/, ""],
];

const COMMON = new Set(
  (
    "a an the of to in on for with by and or but is are be was it its this that these those my our your me us i we " +
    "you please can could would should will want wanted need like make made do does did get give let have has what " +
    "which who how why when where from at as into about some any all only just merely simply solely so then also " +
    "too very more most nothing not no without never skip plus see if there them they out up"
  )
    .split(" ")
    .map(stem),
);

export function readGoal(text: string): GoalWords {
  const plain = text
    .toLowerCase()
    .replace(/[’`]/g, "'")
    .replace(/\bnot (only|just|merely)\b/g, " ");
  const limited = plain.search(LIMITERS) >= 0;
  const unlimited = plain.replace(LIMITERS, " ");
  const clauses: Clause[] = [];
  const ruledOut: string[] = [];
  const ruledOutText: string[] = [];
  let listGoesOn = false;
  for (const part of unlimited.split(CLAUSE_BREAKS)) {
    const at = part.search(NEGATIONS);
    // "without charts and a model": a bare noun after a negative clause goes on with it.
    const negatedFrom = at >= 0 ? at : listGoesOn && contentWords(part).length === 1 ? 0 : part.length;
    const asked = part.slice(0, negatedFrom);
    const negated = part.slice(negatedFrom);
    const running = stems(asked);
    if (running.length > 0) clauses.push({ words: contentWords(asked), running });
    ruledOut.push(...contentWords(negated));
    if (negated.trim() !== "") ruledOutText.push(negated.trim());
    if (part.trim() !== "") listGoesOn = negated !== "";
  }
  return { clauses, ruledOut, ruledOutText: ruledOutText.join(", "), limited };
}

/** Stems of a text's words, in order. `camelCase` and `kebab-case` fall apart into words. */
export function stems(text: string): string[] {
  return text
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== "")
    .map(stem);
}

/** Stems of the words that carry meaning, each once. */
export function contentWords(text: string): string[] {
  return [...new Set(stems(text))].filter((word) => word.length > 1 && !COMMON.has(word));
}

function stem(word: string): string {
  let short = word.replace(/'s?$/, "");
  if (short.length <= 3) return short;
  for (const [ending, instead] of ENDINGS) short = short.replace(ending, instead);
  // "modelling" and "model", "profile" and "profiling", "summary" and "summarise".
  if (short.length > 3) short = short.replace(/([^aeiouls])\1$/, "$1").replace(/ll$/, "l");
  return short.length > 3 ? short.replace(/[ey]$/, "") : short;
}
