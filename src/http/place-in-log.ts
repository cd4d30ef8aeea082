/** A place in a run's log, as requests name it: a sequence, or a time. */
import { z } from "zod";
import { InvalidInputError } from "../workflow/errors.ts";
import type { ApiContext } from "./api-context.ts";

/** Query parameter `at`. */
export const atSchema = z
  .string()
  .optional()
  .describe(
    "The state as it was: a sequence of the log, or a time in ISO 8601, in UTC where it names no zone. Default: now.",
  );

/** @returns undefined for now @throws InvalidInputError for what is neither, or before the run's begin */
export async function placeInLog(
  { library }: ApiContext,
  run: string,
  at: string | undefined,
): Promise<number | undefined> {
  if (at === undefined) return undefined;
  const time = /^\d{1,15}$/.test(at) ? undefined : timeOf(at);
  if (Number.isNaN(time)) {
    throw new InvalidInputError("E_AT", `at: "${at.slice(0, 60)}" is neither a sequence nor a time`, {
      remedy: "Give a sequence of the log, or a time such as 2026-01-02T14:03:00Z.",
    });
  }
  return library.use(run, (reading) => {
    const seq = time === undefined ? Number(at) : reading.seqAt(time);
    if (seq >= reading.firstSeq) return seq;
    throw new InvalidInputError(
      "E_SEQUENCE",
      `run "${run}" begins at sequence ${reading.firstSeq}, after ${at}`,
      {
        remedy: `Give a sequence of ${reading.firstSeq} or more, or a later time.`,
        data: { run, firstSeq: reading.firstSeq },
      },
    );
  });
}

/** In UTC where no zone is named: never in the daemon's own. The plus of a zone may come as a blank. */
function timeOf(text: string): number {
  const [, local, zone = "Z"] = /^(.+T.+?)(Z|[ +-]\d{2}:?\d{2})?$/i.exec(text) ?? [];
  return Date.parse(local === undefined ? text : `${local}${zone.replace(" ", "+")}`);
}
