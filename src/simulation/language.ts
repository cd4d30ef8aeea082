/**
 * What the judges understand of a workflow's conditions and templates.
 *
 * Random workflows are written in a few forms, which are read here without the runtime's expressions. A
 * workflow of a user may say anything: it is judged with the runtime's own evaluation, the one thing that its
 * judges do not have a second opinion of.
 */

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
  holds(condition: string, scope: Scope): boolean;
  /** The list of a `forEach`, or whatever it gives instead. */
  list(source: string | readonly unknown[], scope: Scope): unknown;
  resolve(template: Record<string, unknown>, scope: Scope): Record<string, unknown>;
}

/**
 * All that random workflows say: conditions `env.K != null && env.K > NUMBER` and `iteration >= NUMBER`, values
 * `${env.K}`, `${item}`, `${index}`, `${iteration}`, `${self.outputs.K}`.
 */
export const FEW_FORMS: Language = {
  holds(condition, { env, iteration = 0 }) {
    const rounds = /^iteration >= (\d+)$/.exec(condition)?.[1];
    if (rounds !== undefined) return iteration >= Number(rounds);
    const [, key = "", bound = ""] = /^env\.(\w+) != null && env\.\1 > ([\d.]+)$/.exec(condition) ?? [];
    if (key === "") throw new Error(`the judges do not understand the condition ${condition}`);
    const value = env[key] ?? null;
    return typeof value === "number" && value > Number(bound);
  },
  list: (source, { env }) =>
    typeof source === "string" ? (env[/^env\.(\w+)$/.exec(source)?.[1] ?? ""] ?? null) : source,
  resolve(template, scope) {
    const resolved: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(template)) {
      // A nested document is its own run's to read.
      const isInner =
        typeof value === "object" && value !== null && !Array.isArray(value) && name !== "workflow";
      resolved[name] = isInner
        ? FEW_FORMS.resolve(value as typeof template, scope)
        : resolveOne(value, scope);
    }
    return resolved;
  },
};

function resolveOne(value: unknown, scope: Scope): unknown {
  if (typeof value !== "string") return value;
  const given = /^\$\{self\.outputs\.(\w+)\}$/.exec(value)?.[1];
  if (given !== undefined) return scope.self?.outputs[given];
  const [, word = "", key] = /^\$\{(env|item|index|iteration)(?:\.(\w+))?\}$/.exec(value) ?? [];
  if (word === "env") return scope.env[key ?? ""] ?? null;
  return word === "" ? value : scope[word as "item" | "index" | "iteration"];
}
