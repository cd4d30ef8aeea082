/**
 * What the judges understand of a workflow's conditions and templates.
 *
 * Random workflows are written in a few forms, which are read here without the runtime's expressions. A
 * workflow of a user may say anything: it is judged with the runtime's own evaluation, the one thing that its
 * judges do not have a second opinion of.
 */
import type { WorkflowStepDocument } from "../workflow/document.ts";
import { KeptValues } from "./kept-values.ts";

/** What an expression can read. */
export interface Scope {
  inputs: Record<string, unknown>;
  env: Record<string, unknown>;
  steps: Record<string, { outputs: Record<string, unknown> | null }>;
  item?: unknown;
  index?: number;
  /** Of a repeated step: from 1, and what the last iteration gave. */
  iteration?: number;
  outputs?: Record<string, unknown>;
  /** Of a step that is undone: what it was given, and what it gave. */
  self?: { inputs: Record<string, unknown>; outputs: Record<string, unknown> };
}

export interface Language {
  /** Values that went by claim check. */
  readonly kept: KeptValues;
  holds(condition: string, scope: Scope): boolean;
  /** The list of a `forEach`, or whatever it gives instead. */
  list(source: string | readonly unknown[], scope: Scope): unknown;
  resolve(template: Record<string, unknown>, scope: Scope): Record<string, unknown>;
  /** Whether any of it can be told only once somebody has looked inside values that went by claim check. */
  looks(step: Pick<WorkflowStepDocument, "when" | "forEach" | "inputs">, scope: Scope): boolean;
}

const CONDITION = /^env\.(\w+) != null && env\.\1(\.n)? > ([\d.]+)$/;
const INSIDE = /^\$\{env\.(\w+)\.n\}$/;

/**
 * All that random workflows say: conditions `env.K != null && env.K > NUMBER` (or `env.K.n`) and
 * `iteration >= NUMBER`, values `${env.K}`, `${env.K.n}`, `${item}`, `${index}`, `${iteration}`, `${self.outputs.K}`.
 */
export function fewForms(kept: KeptValues): Language {
  const language: Language = {
    kept,
    holds(condition, { env, iteration = 0 }) {
      const rounds = /^iteration >= (\d+)$/.exec(condition)?.[1];
      if (rounds !== undefined) return iteration >= Number(rounds);
      const [, key = "", field, bound = ""] = CONDITION.exec(condition) ?? [];
      if (key === "") throw new Error(`the judges do not understand the condition ${condition}`);
      const whole = kept.whole(env[key] ?? null);
      if (whole === null) return false;
      const value = field === undefined ? whole : fieldOf(whole);
      if (typeof value !== "number") throw new Error(`${key} cannot be compared`);
      return value > Number(bound);
    },
    list: (source, { env }) =>
      kept.whole(typeof source === "string" ? (env[/^env\.(\w+)$/.exec(source)?.[1] ?? ""] ?? null) : source),
    resolve(template, scope) {
      const resolved: Record<string, unknown> = {};
      for (const [name, value] of Object.entries(template)) {
        resolved[name] = isInner(name, value)
          ? language.resolve(value as typeof template, scope)
          : resolveOne(value, scope, kept);
      }
      return resolved;
    },
    looks({ when, forEach, inputs = {} }, { env }) {
      const read = [
        CONDITION.exec(when ?? "")?.[1],
        /^env\.(\w+)$/.exec(`${forEach}`)?.[1],
        ...insideOf(inputs),
      ];
      return read.some((key) => key !== undefined && kept.isKept(env[key]));
    },
  };
  return language;
}

/** The form in which nothing goes by claim check. */
export const FEW_FORMS: Language = fewForms(new KeptValues());

/** A nested document is its own run's to read. */
function isInner(name: string, value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) && name !== "workflow";
}

/** Keys whose values a template looks inside of. */
function insideOf(template: Record<string, unknown>): (string | undefined)[] {
  return Object.entries(template).flatMap(([name, value]) =>
    isInner(name, value)
      ? insideOf(value as typeof template)
      : [typeof value === "string" ? INSIDE.exec(value)?.[1] : undefined],
  );
}

function resolveOne(value: unknown, scope: Scope, kept: KeptValues): unknown {
  if (typeof value !== "string") return value;
  const given = /^\$\{self\.outputs\.(\w+)\}$/.exec(value)?.[1];
  if (given !== undefined) return scope.self?.outputs[given];
  const inside = INSIDE.exec(value)?.[1];
  if (inside !== undefined) return fieldOf(kept.whole(scope.env[inside]));
  const [, word = "", key] = /^\$\{(env|item|index|iteration)(?:\.(\w+))?\}$/.exec(value) ?? [];
  if (word === "env") return scope.env[key ?? ""] ?? null;
  return word === "" ? value : scope[word as "item" | "index" | "iteration"];
}

/** As in the runtime's expressions, what has no such field is an error. */
function fieldOf(value: unknown): unknown {
  if (typeof value === "object" && value !== null && "n" in value) return value.n;
  throw new Error("there is no field n");
}
