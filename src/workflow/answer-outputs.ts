/**
 * What a step's outputs become of an answer from outside: a person's word, a signal's data, a default.
 *
 *  - no declared output: an object's keys are kept as the step's outputs, any other value as `value`;
 *  - one declared output: an object that has this key, or the value itself; no value at all means `true`;
 *  - several: an object that has all of them.
 *
 * Keys that are not declared are kept with the step, as those of an agent's result are.
 */
export type AnswerOutputs = { outputs: Record<string, unknown> } | { problem: string };

export function outputsOfAnswer(declared: readonly string[], value: unknown): AnswerOutputs {
  const [only] = declared;
  const given = isRecord(value) ? value : undefined;
  if (only === undefined) {
    if (value === undefined) return { outputs: {} };
    return { outputs: given ?? { value } };
  }
  if (given && declared.every((key) => Object.hasOwn(given, key))) return { outputs: given };
  if (declared.length === 1) return { outputs: { [only]: value === undefined ? true : value } };
  if (!given) return { problem: `the value must be an object with ${declared.join(", ")}` };
  const missing = declared.filter((key) => !Object.hasOwn(given, key));
  const has = Object.keys(given).join(", ") || "nothing";
  return { problem: `the value lacks ${missing.join(", ")}; it has ${has}` };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
