/**
 * Lets agent files find `datahammer` and `zod` wherever they lie.
 *
 * A file in a folder where nothing is installed gets the copies of the program that loads it; one that has
 * its own keeps them. A file of this very package gets the copy that is running, built or not.
 *
 * Modules are resolved in two ways, and both need to be told: `import` goes through a hook on a thread of
 * Node's own, hence its source as text; `require` (TypeScript in a folder that is not marked as modules)
 * goes through `Module._resolveFilename`.
 */
import Module, { register } from "node:module";
import { fileURLToPath } from "node:url";

interface OwnPackages {
  /** The folder of this package. */
  root: string;
  entries: Record<string, string>;
}

const HOOK = `
let own;
export function initialize(data) { own = data; }
export async function resolve(specifier, context, next) {
  const entry = own.entries[specifier];
  if (entry === undefined) return next(specifier, context);
  const parent = context.parentURL ?? "";
  if (specifier === "datahammer" && parent.startsWith(own.root) && !parent.includes("/node_modules/")) {
    return next(entry, context);
  }
  try {
    return await next(specifier, context);
  } catch (error) {
    if (error?.code !== "ERR_MODULE_NOT_FOUND") throw error;
    return next(entry, context);
  }
}`;

/** The part of Node's module loader that has no type, though half of the field relies on it. */
interface Resolver {
  _resolveFilename(request: string, ...rest: unknown[]): string;
}

let provided = false;

/** Must be called after TypeScript's loader was registered, so that it comes before it. Idempotent. */
export function provideOwnPackages(): void {
  if (provided) return;
  provided = true;
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const own: OwnPackages = {
    // From src/agent/, or from dist/src/agent/.
    root: new URL(extension === "ts" ? "../../" : "../../../", import.meta.url).href,
    entries: {
      datahammer: new URL(`../index.${extension}`, import.meta.url).href,
      zod: import.meta.resolve("zod"),
    },
  };
  register(`data:text/javascript,${encodeURIComponent(HOOK)}`, { data: own });

  const resolver = Module as unknown as Resolver;
  const resolveFilename = resolver._resolveFilename;
  resolver._resolveFilename = function (this: unknown, request, ...rest) {
    try {
      return resolveFilename.call(this, request, ...rest);
    } catch (error) {
      const entry = own.entries[request];
      if (entry === undefined || (error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
      return resolveFilename.call(this, fileURLToPath(entry), ...rest);
    }
  };
}
