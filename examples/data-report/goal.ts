/**
 * What a goal's text says about the job: only a profile, or the whole; with which target; without which part.
 *
 * Reads hints, no more: which agents do the work is the planner's decision, from the facts put here.
 */

export interface GoalHints {
  text: string;
  /** `profile`: describe the data and stop there. */
  scope: "profile" | "full";
  /** The goal says that no model is wanted. */
  noModel: boolean;
}

export function readGoal(text: string): GoalHints {
  const onlyProfile =
    /\b(only|just|merely|simply)\b[^.]*\b(profil\w*|describ\w*|overview|inspect\w*)/i.test(text) ||
    /\b(profil\w*|describ\w*|overview)\b[^.]*\bonly\b/i.test(text) ||
    /^\s*(profile|describe)\b(?!.*\b(predict|model|clean|analy[sz]e|report|trend|explain)\b)/i.test(text);
  const noModel = /\b(no|without|skip|not)\b[^.,]{0,20}\b(model\w*|predict\w*)/i.test(text);
  return { text, scope: onlyProfile ? "profile" : "full", noModel };
}

/**
 * The column that the goal wants predicted: one that it names, preferably after "predict" or the like.
 * @returns undefined when the text names no column
 */
export function namedTarget(text: string, columns: readonly string[]): string | undefined {
  const asked =
    /\b(predict\w*|forecast\w*|estimat\w*|explain\w*|target|model(?:s|ling)?|classif\w*|what (?:drives|predicts|determines))\b/i.exec(
      text,
    );
  if (!asked) return undefined;
  const after = fold(text.slice(asked.index));
  const named = columns
    .map((column) => ({ column, at: ` ${after} `.indexOf(` ${fold(column)} `) }))
    .filter(({ column, at }) => at >= 0 && fold(column) !== "")
    .sort((a, b) => a.at - b.at || b.column.length - a.column.length);
  return named[0]?.column;
}

function fold(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim();
}
