/** Errors as `application/problem+json` (RFC 9457): the status says who has to act, the body what to do. */
import { z } from "zod";
import {
  DataHammerError,
  InvalidInputError,
  InvalidWorkflowError,
  NoPlanError,
  NotFoundError,
  UnreachableError,
} from "../workflow/errors.ts";
import type { Problem } from "./api.ts";

/** An error whose status its class does not tell: a method, a right, a bound of HTTP's own. */
export class HttpError extends DataHammerError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    details: { remedy?: string; headers?: Record<string, string>; data?: Record<string, unknown> } = {},
  ) {
    super(code, message, details);
    this.status = status;
    this.headers = details.headers ?? {};
  }
}

/** Codes whose error is of a class that says less than HTTP can. */
const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  E_RUN_EXISTS: 409,
  E_PAYLOAD_TOO_LARGE: 413,
};

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad request",
  401: "Not authenticated",
  403: "Forbidden",
  404: "Not found",
  405: "Method not allowed",
  409: "Conflict",
  413: "Too large",
  415: "Unsupported media type",
  422: "Cannot be processed",
  500: "Internal error",
  503: "Unavailable",
};

export function problemOf(error: unknown): Problem {
  const status = statusOf(error);
  const title = TITLES[status] ?? "Error";
  if (!(error instanceof DataHammerError)) {
    // What was not raised on purpose may hold anything: it is logged, not told.
    return {
      type: "about:blank",
      title,
      status,
      detail: "the daemon met an error that it did not expect",
      code: "E_INTERNAL",
      remedy: "Look into the daemon's log.",
    };
  }
  const issues = error instanceof InvalidWorkflowError ? error.issues : undefined;
  return {
    type: "about:blank",
    title,
    status,
    detail: error.message,
    code: error.code,
    ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
    ...(Object.keys(error.data).length === 0 ? {} : { data: error.data }),
    ...(issues === undefined ? {} : { issues: issues.map((issue) => ({ ...issue })) }),
  };
}

function statusOf(error: unknown): number {
  if (error instanceof HttpError) return error.status;
  if (!(error instanceof DataHammerError)) return 500;
  const known = STATUS_OF_CODE[error.code];
  if (known !== undefined) return known;
  if (error instanceof NotFoundError) return 404;
  if (error instanceof InvalidWorkflowError || error instanceof NoPlanError) return 422;
  if (error instanceof InvalidInputError) return 400;
  return error instanceof UnreachableError ? 503 : 500;
}

/**
 * A part of a request, checked.
 * @throws InvalidInputError `E_REQUEST` naming each place that is wrong
 */
export function checked<Schema extends z.ZodType>(
  schema: Schema,
  given: unknown,
  part: string,
): z.output<Schema> {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  const place = first === undefined || first.path.length === 0 ? part : `${part}.${first.path.join(".")}`;
  throw new InvalidInputError("E_REQUEST", `${place}: ${first?.message ?? "is wrong"}`, {
    remedy: "The API is described at /api/openapi.json.",
    data: { issues: z.flattenError(parsed.error) },
  });
}
