/** Catches an operations page whose limits are not those of the code, and units that the page does not mention. */
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const page = readFileSync(resolve(root, "docs/operations.md"), "utf8");
const rows = [...page.matchAll(/^\| (.+?) \| ([\d,]+) \| `(\w+)` in `([\w/.-]+)` \|$/gm)];

/** What `NAME = 8 * 1_024` or `name: 16` in the source comes to. */
function constantIn(path: string, name: string): number {
  const source = readFileSync(resolve(root, "src", path), "utf8");
  const text = new RegExp(`\\b${name}(?: =|:) ([\\d_ *]+)[;,\\n]`).exec(source)?.[1] ?? "";
  const factors = text.split("*").map((factor) => Number(factor.replaceAll("_", "")));
  return text === "" ? Number.NaN : factors.reduce((product, factor) => product * factor, 1);
}

test("there are limits on the page", () => {
  expect(rows.length).toBeGreaterThan(20);
});

test.each(rows.map(([, what, bound, name, path]) => [what, bound, name, path] as const))(
  "%s: %s",
  (_, bound = "", name = "", path = "") => {
    expect(constantIn(path, name)).toBe(Number(bound.replaceAll(",", "")));
  },
);

test("every file in deploy/ is mentioned", () => {
  for (const file of readdirSync(resolve(root, "deploy"))) expect(page).toContain(`deploy/${file}`);
});
