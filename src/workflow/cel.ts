/**
 * Expressions: CEL over `inputs`, `env` and `steps.<id>.outputs` (and `item`, `index` of a fan-out,
 * `iteration`, `outputs` of a repeated step, `self` of one that is undone).
 *
 * Owns the CEL dialect, its compilation and a bounded cache of compiled expressions (L8). An evaluation
 * takes the scope by reference: its cost depends on what the expression touches, never on how large the
 * environment is.
 *
 * The dialect, where JSON meets CEL:
 *  - Numbers in the data are doubles, whole-number literals are ints, as in CEL's own mapping of JSON. The
 *    two mix freely here: in `env.n + 1` or `env.n % 2` the int becomes a double. Between two ints CEL's
 *    rules hold: `7 / 2` is 3, and overflow is an error. Where a function wants an int (`substring`), a
 *    whole number from the data serves.
 *  - Lists and maps may hold values of different types. Optional access (`env.?key.orValue(0)`) is on.
 *  - Results are plain data: ints become numbers (one beyond ±2^53 is an error), timestamps ISO 8601 text,
 *    durations text such as `90s`, an empty optional null.
 */
import {
  type ASTNode,
  Environment as CelEnvironment,
  Optional,
  type ParseResult,
} from "@marcbachmann/cel-js";
import { WORKFLOW_LIMITS } from "./document.ts";
import { DataHammerError, type ErrorDetails } from "./errors.ts";
import { collectReads, type ExpressionReads } from "./references.ts";

/** What an expression can see. All of it is read by reference. */
export interface ExpressionScope {
  readonly inputs: Record<string, unknown>;
  readonly env: Record<string, unknown>;
  readonly steps: Record<string, { readonly outputs: Record<string, unknown> | null }>;
  readonly item?: unknown;
  /** A CEL int, so that it can index a list. */
  readonly index?: bigint;
  readonly iteration?: bigint;
  readonly outputs?: Record<string, unknown>;
  readonly self?: { readonly inputs: Record<string, unknown>; readonly outputs: Record<string, unknown> };
}

/** An expression that cannot be compiled, or failed on the data it was given. */
export class ExpressionError extends DataHammerError {
  constructor(message: string, details: ErrorDetails = {}) {
    super("E_EXPRESSION", message, details);
  }
}

/** A compiled expression, shared by all who use the same source. */
export interface CompiledExpression {
  readonly source: string;
  /** The static type: `bool`, `int`, …; `dyn` where it depends on the data. */
  readonly type: string;
  readonly reads: ExpressionReads;
  evaluate(scope: ExpressionScope): unknown;
  /** The value that the expression names, if it is a path and nothing else; undefined when it is not there. */
  named(scope: ExpressionScope): unknown;
}

/** Compiled expressions that are kept; the least recently used is dropped first. */
export const EXPRESSION_CACHE_SIZE = 4_096;

/** What to do about an evaluation that failed, by CEL's code. */
const REMEDIES: Readonly<Record<string, string>> = {
  no_such_overload:
    "Convert with string(…), int(…) or double(…), or guard with … != null where a value may be missing.",
  index_out_of_bounds: "Guard with size(…).",
  unsupported_type:
    "Expressions cannot compute with a map that has a key named constructor, nor with binary data; pass the value on whole, as a ${…} of its own.",
};
const MAP = "map<string, dyn>";
const MAPS = ["inputs", "env", "steps", "outputs", "self"];
const VARIABLES = [...MAPS, "item", "index", "iteration"];
const dialect = defineDialect();
const cache = new Map<string, CompiledExpression>();

function defineDialect(): CelEnvironment {
  const cel = new CelEnvironment({ enableOptionalTypes: true, homogeneousAggregateLiterals: false });
  for (const name of VARIABLES) cel.registerVariable(name, MAPS.includes(name) ? MAP : "dyn");

  const arithmetic: Record<string, (a: number, b: number) => number> = {
    "+": (a, b) => a + b,
    "-": (a, b) => a - b,
    "*": (a, b) => a * b,
    "/": (a, b) => a / b,
    "%": (a, b) => a % b,
  };
  for (const [operator, compute] of Object.entries(arithmetic)) {
    const mixed = (a: number | bigint, b: number | bigint) => compute(Number(a), Number(b));
    cel.registerOperator(`int ${operator} double`, mixed);
    cel.registerOperator(`double ${operator} int`, mixed);
    if (operator === "%") cel.registerOperator("double % double", mixed);
  }

  cel.registerFunction("string.substring(double): string", (text: string, from: number) =>
    text.substring(from),
  );
  cel.registerFunction("string.substring(double, double): string", (text: string, from: number, to: number) =>
    text.substring(from, to),
  );
  cel.registerFunction("timestamp(double): google.protobuf.Timestamp", (s: number) => new Date(s * 1_000));
  return cel;
}

/**
 * Compiles and type-checks an expression; the same source is compiled once while it is in the cache.
 * @throws ExpressionError with the place in the source
 */
export function compileExpression(source: string): CompiledExpression {
  const known = cache.get(source);
  if (known) {
    // Reinserted at the end: the cache's order is by last use.
    cache.delete(source);
    cache.set(source, known);
    return known;
  }
  const compiled = compile(source);
  cache.set(source, compiled);
  if (cache.size > EXPRESSION_CACHE_SIZE) {
    const oldest = cache.keys().next();
    if (!oldest.done) cache.delete(oldest.value);
  }
  return compiled;
}

function compile(source: string): CompiledExpression {
  if (source.length > WORKFLOW_LIMITS.expressionChars) {
    throw new ExpressionError(
      `The expression has ${source.length} characters, more than the ${WORKFLOW_LIMITS.expressionChars} allowed.`,
      { remedy: "Compute it in a step instead.", data: { limit: WORKFLOW_LIMITS.expressionChars } },
    );
  }
  if (source.trim() === "") throw new ExpressionError("The expression is empty.");
  let program: ParseResult;
  try {
    program = dialect.parse(source);
  } catch (error) {
    throw rejection(source, error);
  }
  const checked = program.check();
  if (!checked.valid) throw rejection(source, checked.error);
  const isPath = isPathInto(program.ast);
  const path = staticPath(program.ast);
  return {
    source,
    type: checked.type ?? "dyn",
    reads: collectReads(program.ast),
    named: (scope) => path && follow(path, scope),
    evaluate(scope) {
      let result = path && follow(path, scope);
      if (result !== undefined) return result;
      try {
        result = program(celScope(scope));
      } catch (error) {
        throw failure(source, error, scope);
      }
      return isPath ? result : toPlain(result, source);
    },
  };
}

/**
 * Whether the expression only walks into the scope. What it finds there is plain already: a large data set
 * is passed on by reference, without looking through it.
 */
function isPathInto(node: ASTNode): boolean {
  if (node.op !== "." && node.op !== "[]") return false;
  const [container] = node.args;
  return container.op === "id" || isPathInto(container);
}

/** `env.rows[0].name` as `["env", "rows", 0, "name"]`; undefined where a key has to be computed. */
function staticPath(node: ASTNode): (string | number)[] | undefined {
  if (node.op === "id") return [node.args];
  if (node.op !== "." && node.op !== "[]") return undefined;
  const [container, keyNode] = node.args;
  const key = typeof keyNode === "string" ? keyNode : keyNode.op === "value" ? keyNode.args : undefined;
  if (typeof key !== "string" && typeof key !== "bigint") return undefined;
  const path = staticPath(container);
  path?.push(typeof key === "bigint" ? Number(key) : key);
  return path;
}

/**
 * Follows a path through plain data. The most frequent expression by far, and the one way on which data of
 * any kind is passed on whole, also what CEL has no type for. Undefined: not found, for CEL to say why.
 */
function follow(path: readonly (string | number)[], scope: object): unknown {
  // `inputs`, `env` and `steps` as a whole change as the run goes on: they are copied, not handed on.
  if (path.length < 2 && path[0] !== "item") return undefined;
  let value: unknown = scope;
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    if (Array.isArray(value) !== (typeof key === "number")) return undefined;
    value = (value as Record<string | number, unknown>)[key];
  }
  return value;
}

/** The parts of a CEL error that messages are made of. */
interface CelProblem {
  code: string;
  summary: string;
  node: ASTNode | undefined;
}

function celProblem(error: unknown): CelProblem {
  const problem = error as { code?: unknown; summary?: unknown; node?: ASTNode };
  if (error instanceof Error && typeof problem.code === "string" && typeof problem.summary === "string") {
    // `dyn<double>` is CEL's way to say that the type was only known from the data.
    const summary = problem.summary.replace(/dyn<([^<>]+)>/g, "$1");
    return { code: problem.code, summary, node: problem.node };
  }
  return {
    code: "internal",
    summary: error instanceof Error ? error.message : String(error),
    node: undefined,
  };
}

function rejection(source: string, error: unknown): ExpressionError {
  const { code, summary, node } = celProblem(error);
  const column = node?.pos === undefined ? "" : ` at character ${node.pos + 1}`;
  // `my-step` is a subtraction to CEL, of a name that nobody meant.
  const isDashed = node?.pos !== undefined && source[node.pos - 1] === "-";
  const remedy = compileRemedy(code, summary, isDashed);
  return new ExpressionError(`Cannot compile \`${source}\`: ${summary}${column}.`, {
    ...(remedy !== undefined && { remedy }),
    data: { source, ...(node?.pos !== undefined && { position: node.pos }) },
    cause: error,
  });
}

/** What to do about an expression that does not compile; undefined: its place says enough. */
function compileRemedy(code: string, summary: string, isDashed: boolean): string | undefined {
  if (summary === "Unexpected character: =") return "Compare with ==.";
  if (code !== "unknown_variable") return undefined;
  const name = summary.split(" ").at(-1);
  const meant = VARIABLES.find((variable) => variable === `${name}s` || `${variable}s` === name);
  if (meant !== undefined && !isDashed) return `Did you mean ${meant}?`;
  return 'Expressions can read inputs, env and steps; write a name with a dash as env["my-key"] or steps["my-step"].outputs.';
}

function failure(source: string, error: unknown, scope: ExpressionScope): ExpressionError {
  const { code, summary, node } = celProblem(error);
  const missing = code === "no_such_key" && node ? describeMissing(node, scope) : undefined;
  const remedy = missing?.remedy ?? REMEDIES[code];
  return new ExpressionError(`\`${source}\` failed: ${missing?.what ?? `${summary}.`}`, {
    ...(remedy !== undefined && { remedy }),
    data: { source },
    cause: error,
  });
}

/** Says which key of what was missing, and whether its container is null: the usual cause is a skipped step. */
function describeMissing(
  node: ASTNode,
  scope: ExpressionScope,
): { what: string; remedy: string } | undefined {
  if (node.op !== "." && node.op !== "[]") return undefined;
  const text = (part: ASTNode) => part.input.slice(part.start, part.end);
  const [container, key] = node.args;
  const path = text(node);
  const guard = node.op === "." ? `has(${path})` : `${text(key as ASTNode)} in ${text(container)}`;
  if (container.op === "id" && ["inputs", "env", "steps"].includes(container.args)) {
    const name = typeof key === "string" ? key : String(key.op === "value" ? key.args : text(key));
    const there = Object.keys((scope as unknown as Record<string, object>)[container.args] ?? {});
    const listed = there.length === 0 ? "nothing" : there.slice(0, 10).join(", ");
    return {
      what: `${container.args} has no "${name}"; it holds ${listed}${there.length > 10 ? ", …" : ""}.`,
      remedy:
        container.args === "inputs"
          ? `Give the input (--input ${name}=…) or a default under the workflow's inputs.`
          : `Depend on the step that writes it, or guard the expression with ${guard}.`,
    };
  }
  return {
    what: `there is no ${path}: ${text(container)} is null or lacks it.`,
    remedy: `Guard the expression with ${guard}, or with ${text(container)} != null where a step may be skipped.`,
  };
}

/**
 * The scope as CEL takes it: by reference, but for an object with a key named `constructor`, which CEL
 * would take for an unknown class; that one is handed over as a Map.
 */
function celScope(scope: ExpressionScope): Record<string, unknown> {
  const { inputs, env, steps } = scope;
  const plain = !hasConstructorKey(inputs) && !hasConstructorKey(env) && !hasConstructorKey(steps);
  if (plain) return scope as unknown as Record<string, unknown>;
  return { ...scope, inputs: asMap(inputs), env: asMap(env), steps: asMap(steps) };
}

const hasConstructorKey = (object: object) => Object.hasOwn(object, "constructor");
const asMap = (object: Record<string, unknown>) =>
  hasConstructorKey(object) ? new Map(Object.entries(object)) : object;

/** CEL's own value types, as plain data. What is plain already is returned as it is, not copied. */
function toPlain(value: unknown, source: string): unknown {
  if (typeof value === "bigint") return toNumber(value, source);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Optional) return value.hasValue() ? toPlain(value.value(), source) : null;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return value;
  if (value instanceof Map) return plainRecord(value.entries(), source);
  if (value instanceof Set) return [...value].map((element) => toPlain(element, source));
  if (Array.isArray(value)) return plainArray(value, source);
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return plainObject(value, source);
  const primitive: unknown = value.valueOf();
  if (typeof primitive === "bigint") return toNumber(primitive, source);
  return String(value);
}

function toNumber(value: bigint, source: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new ExpressionError(
    `\`${source}\` gives ${value}, beyond the whole numbers that JSON carries exactly.`,
    {
      remedy: "Turn it into text with string(…), or compute with decimals.",
    },
  );
}

function plainArray(list: readonly unknown[], source: string): unknown {
  let copy: unknown[] | undefined;
  for (const [position, element] of list.entries()) {
    const plain = toPlain(element, source);
    if (plain !== element) {
      copy ??= list.slice();
      copy[position] = plain;
    }
  }
  return copy ?? list;
}

function plainObject(object: object, source: string): unknown {
  let changed = false;
  const entries = Object.entries(object).map(([key, element]): [string, unknown] => {
    const plain = toPlain(element, source);
    if (plain !== element) changed = true;
    return [key, plain];
  });
  return changed ? plainRecord(entries, source) : object;
}

/** `Object.fromEntries` defines properties, so that a key named `__proto__` is only a key. */
function plainRecord(entries: Iterable<[unknown, unknown]>, source: string): Record<string, unknown> {
  return Object.fromEntries([...entries].map(([key, value]) => [String(key), toPlain(value, source)]));
}
