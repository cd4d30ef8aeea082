/**
 * Goals in words, for runs that are planned: what people say, and what they mean by it, read back by the judges.
 *
 * Every key that can be planned for has a word of its own, which its tasks' cards have as a synonym. A goal says
 * such words, among others that mean nothing; nothing here knows how the planner reads.
 */
import type { SubmitMessage } from "../bus/messages.ts";
import type { Chance } from "./chance.ts";

/** Far enough from one another that none is taken for a misspelt other. */
const WORDS = ["meadow", "lantern", "violet", "walnut", "magnet", "cobalt"] as const;
const RULING_OUT = "without";

/** @param key `p0` to `p5` */
export const wordFor = (key: string): string => WORDS[Number(key.slice(1))] as string;
const keyFor = (word: string): string => `p${WORDS.indexOf(word as (typeof WORDS)[number])}`;

/** How a submission asks for it. */
export interface Wish {
  goals?: string | string[];
  want?: string[];
}

/** What a submission asks for. */
export interface Asked {
  /** Named, and to be there in the end whatever else becomes of the goal. */
  readonly byName: readonly string[];
  /** Said in words, the last of a line of keys at the end. */
  readonly inWords: readonly string[];
  /** Must not be made by anybody. */
  readonly ruledOut: readonly string[];
}

/** @param keys that the swarm can make, each from some before it */
export function randomGoals(chance: Chance, keys: readonly string[]): string | string[] {
  // Nobody has a word for it.
  if (chance.happens(0.06)) return "please surprise me";
  const last = wordFor(keys.at(-1) as string);
  const other = wordFor(chance.pick(keys));
  return chance.pick([
    `I need the ${last}`,
    `only the ${other}`,
    `get the ${other} and then the ${last}`,
    [`make the ${other}`, `give me the ${last}`],
    other === last ? last : `make the ${last} ${RULING_OUT} the ${other}`,
  ]);
}

export function askedBy({ goals, want = [] }: Wish | Pick<SubmitMessage, "goals" | "want">): Asked {
  const inWords = new Set<string>();
  const ruledOut = new Set<string>();
  for (const goal of [goals ?? []].flat()) {
    let into = inWords;
    for (const word of goal.split(" ")) {
      if (word === RULING_OUT) into = ruledOut;
      if (WORDS.some((one) => one === word)) into.add(keyFor(word));
    }
  }
  return { byName: want, inWords: [...inWords].sort(), ruledOut: [...ruledOut] };
}
