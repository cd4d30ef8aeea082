/**
 * What an expression reads, found in its syntax tree without evaluating it.
 *
 * A key that the expression itself tests for presence (`has(env.x)`, `"x" in env`, `env.?x`) is optional:
 * nobody has to produce it. Variables of macros (`list.map(x, …)`, `cel.bind(x, …)`) shadow the scope, so
 * that `items.map(env, env.x)` reads nothing of the environment. Keys that are computed (`env[inputs.key]`)
 * cannot be known here and are left to the evaluation.
 */
import type { ASTNode } from "@marcbachmann/cel-js";

export interface ExpressionReads {
  /** Variables of the scope that are named at all: `inputs`, `env`, `steps`, `item`, `index`. */
  readonly variables: ReadonlySet<string>;
  /** Environment keys that must be there. */
  readonly env: ReadonlySet<string>;
  /** Keys that may be missing: their presence is tested. */
  readonly optionalEnv: ReadonlySet<string>;
  /** Steps whose outputs are read. */
  readonly steps: ReadonlySet<string>;
  readonly optionalSteps: ReadonlySet<string>;
  /** Members other than `outputs` that are read of a step, as `[step, member]`: always a mistake. */
  readonly strayMembers: readonly (readonly [step: string, member: string])[];
  /** Members that are read of the step that is undone. */
  readonly selfMembers: ReadonlySet<string>;
}

const COMPREHENSIONS = new Set(["all", "exists", "exists_one", "map", "filter"]);

interface Access {
  readonly root: string;
  readonly key: string;
}

class ReadCollector {
  readonly variables = new Set<string>();
  readonly env = new Set<string>();
  readonly steps = new Set<string>();
  readonly optionalEnv = new Set<string>();
  readonly optionalSteps = new Set<string>();
  readonly strayMembers: [string, string][] = [];
  readonly selfMembers = new Set<string>();

  walk(node: ASTNode, shadowed: ReadonlySet<string>): void {
    switch (node.op) {
      case "value":
        return;
      case "id":
        if (!shadowed.has(node.args)) this.variables.add(node.args);
        return;
      case ".":
      case ".?":
      case "[]":
      case "[?]":
        this.#access(node, shadowed);
        return;
      case "call":
        if (node.args[0] === "has" && node.args[1][0]) this.#presence(node.args[1][0], shadowed);
        else for (const argument of node.args[1]) this.walk(argument, shadowed);
        return;
      case "rcall":
        this.#method(node.args, shadowed);
        return;
      case "list":
        for (const element of node.args) this.walk(element, shadowed);
        return;
      case "map":
        for (const [key, value] of node.args) {
          this.walk(key, shadowed);
          this.walk(value, shadowed);
        }
        return;
      case "!_":
      case "-_":
        this.walk(node.args, shadowed);
        return;
      case "in": {
        const [needle, container] = node.args;
        if (needle.op === "value" && typeof needle.args === "string" && container.op === "id") {
          if (container.args === "env" && !shadowed.has("env")) this.optionalEnv.add(needle.args);
          if (container.args === "steps" && !shadowed.has("steps")) this.optionalSteps.add(needle.args);
        }
        this.walk(needle, shadowed);
        this.walk(container, shadowed);
        return;
      }
      default:
        for (const argument of node.args) this.walk(argument, shadowed);
    }
  }

  #access(node: ASTNode & { op: "." | ".?" | "[]" | "[?]" }, shadowed: ReadonlySet<string>): void {
    const access = staticAccess(node, shadowed);
    const optional = node.op === ".?" || node.op === "[?]";
    if (access) this.variables.add(access.root);
    if (access?.root === "env") (optional ? this.optionalEnv : this.env).add(access.key);
    if (access?.root === "steps") (optional ? this.optionalSteps : this.steps).add(access.key);
    if (access?.root === "self") this.selfMembers.add(access.key);
    if (access) return;

    const [container, key] = node.args;
    const step = staticAccess(container, shadowed);
    const member = typeof key === "string" ? key : literalText(key);
    if (step?.root === "steps" && member !== undefined && member !== "outputs") {
      this.strayMembers.push([step.key, member]);
    }
    this.walk(container, shadowed);
    if (typeof key !== "string") this.walk(key, shadowed);
  }

  /** `has(e.f)` evaluates `e` and only tests for `f`. */
  #presence(argument: ASTNode, shadowed: ReadonlySet<string>): void {
    const access = staticAccess(argument, shadowed);
    if (access?.root === "env") this.optionalEnv.add(access.key);
    else if (access?.root === "steps") this.optionalSteps.add(access.key);
    else if (argument.op === ".") this.walk(argument.args[0], shadowed);
    else this.walk(argument, shadowed);
  }

  #method([name, receiver, args]: [string, ASTNode, ASTNode[]], shadowed: ReadonlySet<string>): void {
    const [variable, ...rest] = args;
    if (COMPREHENSIONS.has(name) && variable?.op === "id" && rest.length > 0) {
      this.walk(receiver, shadowed);
      const inner = new Set(shadowed).add(variable.args);
      for (const argument of rest) this.walk(argument, inner);
      return;
    }
    const isBind = name === "bind" && receiver.op === "id" && receiver.args === "cel";
    if (isBind && variable?.op === "id" && rest[0] && rest[1]) {
      this.walk(rest[0], shadowed);
      this.walk(rest[1], new Set(shadowed).add(variable.args));
      return;
    }
    this.walk(receiver, shadowed);
    for (const argument of args) this.walk(argument, shadowed);
  }
}

function literalText(node: ASTNode): string | undefined {
  return node.op === "value" && typeof node.args === "string" ? node.args : undefined;
}

/** `env.x`, `env["x"]`, `env.?x` and the like: a known key of a variable of the scope. */
function staticAccess(node: ASTNode, shadowed: ReadonlySet<string>): Access | undefined {
  if (node.op !== "." && node.op !== ".?" && node.op !== "[]" && node.op !== "[?]") return undefined;
  const [container, keyNode] = node.args;
  if (container.op !== "id" || shadowed.has(container.args)) return undefined;
  const key = typeof keyNode === "string" ? keyNode : literalText(keyNode);
  return key === undefined ? undefined : { root: container.args, key };
}

/** Collects what the tree reads; linear in its nodes. */
export function collectReads(tree: ASTNode): ExpressionReads {
  const collector = new ReadCollector();
  collector.walk(tree, new Set());
  for (const key of collector.optionalEnv) collector.env.delete(key);
  for (const step of collector.optionalSteps) collector.steps.delete(step);
  return collector;
}
