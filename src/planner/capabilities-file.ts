/** Reads a capabilities file, for planning without a swarm. */
import { LineCounter, parseDocument } from "yaml";
import { capabilitiesFileSchema, type RoleCard } from "../workflow/capability.ts";
import { InvalidInputError } from "../workflow/errors.ts";

/** Problems shown at once. */
const SHOWN = 10;

/**
 * @param text YAML or JSON: `agents: [{ role, tasks: [{ name, needs, gives, … }] }]`
 * @param name what to call the file in errors
 * @throws InvalidInputError that names every problem (the first ten) with its place
 */
export function parseCapabilities(text: string, name = "capabilities"): RoleCard[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [broken] = document.errors;
  if (broken !== undefined) {
    const at = lines.linePos(broken.pos[0]);
    throw invalid(`${name}, line ${at.line}: ${broken.message}`, { line: at.line });
  }
  const parsed = capabilitiesFileSchema.safeParse(document.toJS({ maxAliasCount: 100 }));
  if (parsed.success) return parsed.data.agents;
  const issues = parsed.error.issues.map((issue) => {
    const path = issue.path.map(String);
    return { path: path.join("."), line: lineOf(document, lines, issue.path), message: issue.message };
  });
  const shown = issues
    .slice(0, SHOWN)
    .map(
      ({ path, line, message }) =>
        `${line === undefined ? "" : `line ${line}, `}${path || "(top)"}: ${message}`,
    );
  const more = issues.length > SHOWN ? `; and ${issues.length - SHOWN} more` : "";
  throw invalid(`${name} is no capabilities file: ${shown.join("; ")}${more}`, { issues });
}

function invalid(message: string, data: Record<string, unknown>): InvalidInputError {
  return new InvalidInputError("E_CAPABILITIES", message, {
    remedy:
      "Write it as `agents: [{ role: loader, tasks: [{ name: load, needs: [path], gives: [dataset] }] }]`, in YAML or JSON.",
    data,
  });
}

/** The line of the deepest node on the path that is in the file. */
function lineOf(
  document: ReturnType<typeof parseDocument>,
  lines: LineCounter,
  path: readonly PropertyKey[],
): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as { range?: [number, ...number[]] } | undefined;
    if (node?.range !== undefined && node.range !== null) return lines.linePos(node.range[0]).line;
  }
  return undefined;
}
