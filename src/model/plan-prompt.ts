/**
 * The words in which a model is asked for a plan.
 *
 * Owns the conversation's form; the texts are in `prompts/`. What others wrote (goals, cards, data, and the errors
 * that quote an answer) goes in as JSON between tags that no such text can close.
 */
import { readFileSync } from "node:fs";
import type { ModelRequest } from "../planner/plan-model.ts";

export interface PromptMessage {
  readonly role: "user" | "assistant";
  readonly content: string;
}

export interface Prompt {
  readonly system: string;
  readonly messages: readonly PromptMessage[];
}

const text = (name: string): string =>
  readFileSync(new URL(`prompts/${name}.md`, import.meta.url), "utf8").trim();

export function promptOf(request: ModelRequest): Prompt {
  const { task, goals, want, roles, environment, inputs, situation, refused } = request;
  const asked = [
    quoted("goals", { goals, ...(want.length > 0 && { wantedAlready: want }) }),
    quoted("roles", roles),
    quoted("data", { environment, inputs }),
    ...(situation === undefined ? [] : [quoted("situation", situation)]),
  ].join("\n\n");
  const corrections = refused.flatMap(({ answer, errors }): PromptMessage[] => [
    { role: "assistant", content: answer === "" ? "(nothing)" : answer },
    { role: "user", content: `${text("refused")}\n\n${quoted("errors", errors)}` },
  ]);
  return {
    system: text(task === "plan" ? "plan" : "replan"),
    messages: [{ role: "user", content: asked }, ...corrections],
  };
}

/** With `<` escaped, which JSON allows, no quoted text can close its tag or open another. */
function quoted(tag: string, value: unknown): string {
  return `<${tag}>\n${JSON.stringify(value).replaceAll("<", "\\u003c")}\n</${tag}>`;
}
