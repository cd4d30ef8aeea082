/**
 * Templates: data in which texts may hold `${expression}`.
 *
 * A text that is one expression and nothing else gives the expression's value with its type; otherwise the
 * values are put into the text (text as it is, null as nothing, anything else as JSON). `$${` stands for a
 * literal `${`. Keys of objects are not templates.
 */
import { type CompiledExpression, compileExpression, ExpressionError, type ExpressionScope } from "./cel.ts";

/** Levels of nesting in a template (L8). */
export const TEMPLATE_MAX_DEPTH = 64;

/** A text cut into literal pieces and expression sources. */
export type TemplatePart = { readonly text: string } | { readonly source: string };

/**
 * Cuts a text at its expressions, minding quotes and braces inside them.
 * @throws ExpressionError when `${` is never closed
 */
export function splitTemplate(text: string): TemplatePart[] {
  const parts: TemplatePart[] = [];
  let literal = "";
  let position = 0;
  while (position < text.length) {
    const dollar = text.indexOf("$", position);
    if (dollar < 0) {
      literal += text.slice(position);
      break;
    }
    literal += text.slice(position, dollar);
    if (text.startsWith("$${", dollar)) {
      literal += "${";
      position = dollar + 3;
    } else if (text.startsWith("${", dollar)) {
      if (literal !== "") parts.push({ text: literal });
      literal = "";
      const end = closingBrace(text, dollar + 2);
      parts.push({ source: text.slice(dollar + 2, end).trim() });
      position = end + 1;
    } else {
      literal += "$";
      position = dollar + 1;
    }
  }
  if (literal !== "") parts.push({ text: literal });
  return parts;
}

/** An expression as its author may write it: bare, or as a text that is one `${…}` and nothing else. */
export function bareExpression(text: string): string {
  if (!text.trimStart().startsWith("${")) return text;
  try {
    const [only, ...more] = splitTemplate(text.trim());
    return more.length === 0 && only && "source" in only ? only.source : text;
  } catch {
    // Never closed: the compiler says what is wrong with it.
    return text;
  }
}

/** Index of the `}` that closes the expression which begins at `start`. */
function closingBrace(text: string, start: number): number {
  let depth = 0;
  for (let position = start; position < text.length; position++) {
    const character = text[position];
    if (character === '"' || character === "'") position = closingQuote(text, position);
    else if (character === "{") depth++;
    else if (character === "}" && depth-- === 0) return position;
  }
  throw new ExpressionError(
    `The expression that begins at "${text.slice(start - 2, start + 30)}" is not closed.`,
    {
      remedy: "Close it with }, or write $${ for a literal ${.",
    },
  );
}

/**
 * Index of the last character of the quoted text that begins at `start`; the end when it is not closed.
 * A backslash keeps the next quote from closing the text, in raw texts too, as in the CEL parser.
 */
function closingQuote(text: string, start: number): number {
  const quote = text.charAt(start);
  const delimiter = text.startsWith(quote.repeat(3), start) ? quote.repeat(3) : quote;
  for (let position = start + delimiter.length; position < text.length; position++) {
    if (text[position] === "\\") position++;
    else if (text.startsWith(delimiter, position)) return position + delimiter.length - 1;
  }
  return text.length;
}

/** Calls `visit` for every text that may hold expressions, with its path. */
export function visitTexts(
  value: unknown,
  visit: (text: string, path: (string | number)[]) => void,
  path: (string | number)[] = [],
): void {
  if (typeof value === "string") {
    if (value.includes("${")) visit(value, path);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  assertDepth(path.length);
  for (const [key, element] of Object.entries(value)) {
    visitTexts(element, visit, [...path, Array.isArray(value) ? Number(key) : key]);
  }
}

/** Every expression of a text, compiled. @throws ExpressionError */
export function templateExpressions(text: string): CompiledExpression[] {
  return splitTemplate(text).flatMap((part) => ("source" in part ? [compileExpression(part.source)] : []));
}

function assertDepth(depth: number): void {
  if (depth <= TEMPLATE_MAX_DEPTH) return;
  throw new ExpressionError(`The value is nested deeper than the ${TEMPLATE_MAX_DEPTH} levels allowed.`, {
    remedy: "Flatten it, or pass it as text.",
    data: { limit: TEMPLATE_MAX_DEPTH },
  });
}

/**
 * Puts the values of all expressions in; what holds none is returned as it is, not copied.
 * @throws ExpressionError naming the expression
 */
export function resolveTemplate(value: unknown, scope: ExpressionScope): unknown {
  return resolve(value, scope, 0);
}

function resolve(value: unknown, scope: ExpressionScope, depth: number): unknown {
  if (typeof value === "string") return value.includes("${") ? resolveText(value, scope) : value;
  if (typeof value !== "object" || value === null) return value;
  assertDepth(depth);
  if (Array.isArray(value)) return value.map((element) => resolve(element, scope, depth + 1));
  if (value instanceof Uint8Array || value instanceof Date) return value;
  // `Object.fromEntries` defines properties, so that a key named `__proto__` is only a key.
  return Object.fromEntries(
    Object.entries(value).map(([key, element]) => [key, resolve(element, scope, depth + 1)]),
  );
}

function resolveText(text: string, scope: ExpressionScope): unknown {
  const parts = splitTemplate(text);
  const [first] = parts;
  if (parts.length === 1 && first && "source" in first)
    return compileExpression(first.source).evaluate(scope);
  return parts
    .map((part) => ("text" in part ? part.text : asText(compileExpression(part.source).evaluate(scope))))
    .join("");
}

function asText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "";
  // A result in MessagePack may hold 64-bit integers, which JSON has no notation for but as numbers.
  if (typeof value === "bigint") return value.toString();
  return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? Number(inner) : inner));
}
