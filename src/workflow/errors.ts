/**
 * Errors that callers can act on.
 *
 * One base class with a stable `code`; subclasses say what the caller can do. The message says what went
 * wrong, which id it concerns, the bound and the actual value; `remedy` says what to do next. Expected
 * outcomes (a result that came late, a queue that already holds the task) are values, not errors.
 */

export interface ErrorDetails {
  /** What to do about it, as a sentence for a person. */
  remedy?: string;
  /** The facts as fields, for programs. */
  data?: Record<string, unknown>;
  cause?: unknown;
}

/** Base of every error that DataHammer raises on purpose. */
export class DataHammerError extends Error {
  readonly code: string;
  readonly remedy: string | undefined;
  readonly data: Record<string, unknown>;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.remedy = details.remedy;
    this.data = details.data ?? {};
  }
}

/** The caller gave something that can never work; change the input. CLI exit code 2. */
export class InvalidInputError extends DataHammerError {}

/** The named thing does not exist. CLI exit code 3. */
export class NotFoundError extends DataHammerError {}

/** A broker, daemon or agent did not answer; trying again later may work. CLI exit code 4. */
export class UnreachableError extends DataHammerError {}

/** No workflow can be run: the document is invalid, or no plan reaches the goal. CLI exit code 5. */
export class InvalidWorkflowError extends DataHammerError {
  readonly issues: readonly WorkflowIssue[];

  constructor(message: string, issues: readonly WorkflowIssue[], details: ErrorDetails = {}) {
    super(issues[0]?.code ?? "E_SCHEMA", message, details);
    this.issues = issues;
  }
}

/** The planner found no way from the environment to the wanted keys. CLI exit code 5. */
export class NoPlanError extends DataHammerError {}

/**
 * Thrown by an agent's task to say that trying again cannot help: the step fails at once, whatever its
 * retry policy allows. Recognised by `name`, so that it also works across module copies and processes.
 */
export class NonRetryableError extends Error {
  override readonly name = "NonRetryableError";
}

export const WORKFLOW_ISSUE_CODES = [
  "E_PARSE",
  "E_SCHEMA",
  "E_DUPLICATE_ID",
  "E_UNKNOWN_DEPENDENCY",
  "E_CYCLE",
  "E_SELF_DEPENDENCY",
  "E_EXPRESSION",
  "E_UNPRODUCED_INPUT",
  "E_OUTPUT_CONFLICT",
  "E_LIMIT",
] as const;

export type WorkflowIssueCode = (typeof WORKFLOW_ISSUE_CODES)[number];

/** One thing wrong with a workflow. `path` is dotted, `line` is 1-based in the file it was read from. */
export interface WorkflowIssue {
  code: WorkflowIssueCode;
  step?: string;
  path: string;
  message: string;
  line?: number;
}
