/** What went wrong, and what to do about it. */
import type { ApiError } from "../model/api-client.ts";

export function ProblemNote({ error, again }: { error: ApiError; again?: () => void }) {
  const { detail, remedy, code } = error.problem;
  return (
    <div class="note bad" role="alert">
      <strong>{detail}</strong>
      {remedy !== undefined && <p>{remedy}</p>}
      <p class="soft mono">{code}</p>
      {again && (
        <button type="button" class="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}
