/** Collecting everything that is wrong with a workflow, in the order in which its author will read it. */
import { distance } from "fastest-levenshtein";
import type { WorkflowIssue, WorkflowIssueCode } from "./errors.ts";

/** Where in the document: property names and list positions. */
export type IssuePath = readonly (string | number)[];

/** Finds the 1-based line of a path in the text that the document was read from. */
export type LineLookup = (path: (string | number)[]) => number | undefined;

/** Name comparisons that one validation spends on suggestions: they must not make it quadratic (L8). */
const SUGGESTION_BUDGET = 2_000_000;

export class IssueList {
  readonly #found: { issue: WorkflowIssue; path: IssuePath }[] = [];
  readonly #lineOf: LineLookup | undefined;
  #budget = SUGGESTION_BUDGET;

  constructor(lineOf?: LineLookup) {
    this.#lineOf = lineOf;
  }

  add(code: WorkflowIssueCode, path: IssuePath, message: string, step?: string): void {
    const line = this.#lineOf?.([...path]);
    const issue: WorkflowIssue = {
      code,
      ...(step !== undefined && { step }),
      path: path.join("."),
      message,
      ...(line !== undefined && { line }),
    };
    this.#found.push({ issue, path });
  }

  /** Takes over an issue of a document that stands within this one, which found its own line. */
  adopt(found: WorkflowIssue, above: IssuePath, message: string, step: string | undefined): void {
    const { code, line } = found;
    const issue: WorkflowIssue = {
      code,
      ...(step !== undefined && { step }),
      path: [...above, ...(found.path === "" ? [] : [found.path])].join("."),
      message,
      ...(line !== undefined && { line }),
    };
    this.#found.push({ issue, path: above });
  }

  get isEmpty(): boolean {
    return this.#found.length === 0;
  }

  /** By step, then by when it was found: first the document itself, then its steps in their order. */
  sorted(): WorkflowIssue[] {
    const rank = ({ path }: { path: IssuePath }) =>
      path[0] === "steps" && typeof path[1] === "number" ? path[1] : path[0] === "outputs" ? Infinity : -1;
    return this.#found
      .map((entry) => ({ entry, rank: rank(entry) }))
      .sort((a, b) => (a.rank === b.rank ? 0 : a.rank - b.rank))
      .map(({ entry }) => entry.issue);
  }

  /** The existing name that is spelled most like `name`, or undefined when there is none or too much to compare. */
  nearest(
    name: string,
    existing: Iterable<string>,
    maxDistance = Number.POSITIVE_INFINITY,
  ): string | undefined {
    let best: string | undefined;
    let bestDistance = Number.POSITIVE_INFINITY;
    for (const candidate of existing) {
      if (this.#budget-- <= 0) break;
      const changes = distance(name, candidate);
      if (changes < bestDistance) [best, bestDistance] = [candidate, changes];
    }
    return bestDistance <= maxDistance ? best : undefined;
  }
}
