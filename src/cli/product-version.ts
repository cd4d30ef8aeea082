/** The version of DataHammer that runs, from its package.json. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

let known: string | undefined;

/** From the nearest package.json above this file that is DataHammer's: sources and build lie differently deep. */
export function productVersion(): string {
  if (known !== undefined) return known;
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const version = versionIn(folder);
    if (version !== undefined || dirname(folder) === folder) {
      known = version ?? "unknown";
      return known;
    }
  }
}

function versionIn(folder: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(join(folder, "package.json"), "utf8");
  } catch {
    return undefined; // Not in this folder: look further up.
  }
  const { name, version } = JSON.parse(text) as { name?: unknown; version?: unknown };
  return name === "datahammer" && typeof version === "string" ? version : undefined;
}
