/** Exit codes, and which error means which. */
import {
  InvalidInputError,
  InvalidWorkflowError,
  NoPlanError,
  NotFoundError,
  UnreachableError,
} from "../workflow/errors.ts";

export const EXIT = {
  done: 0,
  /** The run failed or was cancelled; also what went wrong inside. */
  failed: 1,
  usage: 2,
  notFound: 3,
  unreachable: 4,
  noWorkflow: 5,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof InvalidWorkflowError || error instanceof NoPlanError) return EXIT.noWorkflow;
  if (error instanceof InvalidInputError) return EXIT.usage;
  if (error instanceof NotFoundError) return EXIT.notFound;
  if (error instanceof UnreachableError) return EXIT.unreachable;
  return EXIT.failed;
}
