/**
 * Which language model proposes plans: `model` in `datahammer.yaml`, whose address, name and key the environment may
 * replace. The key itself is never in the file, only the name of the variable that holds it.
 */
import { z } from "zod";
import type { ModelSettings } from "../daemon/advisor.ts";
import { InvalidInputError } from "../workflow/errors.ts";
import { parseDuration } from "../workflow/names.ts";

export const modelFileSchema = z.strictObject({
  url: z.string().optional(),
  name: z.string().min(1).optional(),
  apiKeyEnv: z.string().min(1).optional(),
  allowValues: z.boolean().optional(),
  timeout: z.string().optional(),
  maxTokens: z.int().min(1).optional(),
  usdPerMillionTokens: z.number().min(0).optional(),
});

/** Longer than a run should be held up by a proposal. */
const LONGEST_TIMEOUT_MS = 600_000;

/** @throws InvalidInputError `E_SETTING` naming what is wrong or missing */
export function modelSettings(
  file: z.infer<typeof modelFileSchema> | undefined,
  env: Readonly<Record<string, string | undefined>>,
): ModelSettings | undefined {
  const url = env.DATAHAMMER_MODEL_URL || file?.url;
  const name = env.DATAHAMMER_MODEL || file?.name;
  if (file === undefined && url === undefined && name === undefined) return undefined;
  if (url === undefined || name === undefined) {
    throw refused(`a language model needs ${url === undefined ? "a url" : "a name"}`);
  }
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw refused(`"${url}" is no address of a language model`);
  }
  const { apiKeyEnv, timeout, allowValues, maxTokens, usdPerMillionTokens } = file ?? {};
  // Without its key a server refuses, and plans are made without it: commands that plan nothing need no key.
  const apiKey = env.DATAHAMMER_MODEL_KEY || (apiKeyEnv && env[apiKeyEnv]);
  const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout);
  if (timeout !== undefined && (timeoutMs === undefined || timeoutMs < 1 || timeoutMs > LONGEST_TIMEOUT_MS)) {
    throw refused(`"${timeout}" (model.timeout in datahammer.yaml) must be a duration up to 10m`);
  }
  return {
    url,
    name,
    ...(apiKey && { apiKey }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(allowValues !== undefined && { allowValues }),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(usdPerMillionTokens !== undefined && { usdPerMillionTokens }),
  };
}

function refused(what: string): InvalidInputError {
  return new InvalidInputError("E_SETTING", what, {
    remedy:
      "Give DATAHAMMER_MODEL_URL (such as http://127.0.0.1:11434/v1) and DATAHAMMER_MODEL, or model.url and model.name in datahammer.yaml.",
  });
}
