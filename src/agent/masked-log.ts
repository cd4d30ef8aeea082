/** A task's log and errors without what its workflow names as secret. */
import type { Logger } from "pino";
import type { SecretMask } from "../workflow/secrets.ts";

const LEVELS: ReadonlySet<PropertyKey> = new Set(["trace", "debug", "info", "warn", "error", "fatal"]);

/** The same logger; what is said through it, and through its children, passes the mask. */
export function maskedLog(log: Logger, mask: SecretMask): Logger {
  return new Proxy(log, {
    get(target, name) {
      const own: unknown = Reflect.get(target, name, target);
      if (typeof own !== "function") return own;
      if (LEVELS.has(name))
        return (...said: unknown[]) =>
          own.apply(
            target,
            said.map((part) => shown(part, mask)),
          );
      if (name === "child")
        return (...given: unknown[]) =>
          maskedLog(
            own.apply(
              target,
              given.map((part) => shown(part, mask)),
            ) as Logger,
            mask,
          );
      return own.bind(target);
    },
  });
}

/** The same error with its text masked; its own fields stay out, since nobody knows what they hold. */
export function maskedError(error: Error, mask: SecretMask): Error {
  const copy = new Error(mask.text(error.message));
  copy.name = error.name;
  copy.stack = mask.text(error.stack ?? "");
  return copy;
}

function shown(value: unknown, mask: SecretMask): unknown {
  if (value instanceof Error) return maskedError(value, mask);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return mask.view(value);
  const fields = Object.entries(value);
  if (!fields.some(([, inner]) => inner instanceof Error)) return mask.view(value);
  return mask.view(
    Object.fromEntries(
      fields.map(([name, inner]) => [name, inner instanceof Error ? maskedError(inner, mask) : inner]),
    ),
  );
}
