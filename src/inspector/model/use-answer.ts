/** What the daemon answers to one question, asked again when the question changes. */
import { useEffect, useState } from "preact/hooks";
import { type ApiError, ask, RETRY_MS } from "./api-client.ts";
import { asApiError } from "./run-store.ts";

export interface Answered<Answer> {
  /** The answer to this question, or to the one before while this one is on its way or nobody answers. */
  readonly answer: Answer | undefined;
  readonly problem: ApiError | undefined;
}

/**
 * @param path of the question
 * @param version asks the same question again when it changes
 * @param delayMs so long the question has to rest before it is asked again
 */
export function useAnswer<Answer>(path: string, version: unknown, delayMs: number): Answered<Answer> {
  const [answered, setAnswered] = useState<Answered<Answer>>({ answer: undefined, problem: undefined });
  useEffect(() => {
    const abort = new AbortController();
    const isFirst = answered.answer === undefined && answered.problem === undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const question = async (): Promise<void> => {
      try {
        setAnswered({ answer: await ask<Answer>(path, abort.signal), problem: undefined });
      } catch (error) {
        if (abort.signal.aborted) return;
        const problem = asApiError(error);
        if (problem.mayPass) timer = setTimeout(() => void question(), RETRY_MS);
        setAnswered(({ answer }) => ({
          answer: problem.mayPass ? answer : undefined,
          problem: problem.mayPass && answer !== undefined ? undefined : problem,
        }));
      }
    };
    timer = setTimeout(() => void question(), isFirst ? 0 : delayMs);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [path, version]);
  return answered;
}
