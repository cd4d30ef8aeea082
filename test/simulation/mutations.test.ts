/**
 * The list of deliberate mistakes is up to date. Catches: a mutation whose place in the runtime is gone, so that it
 * would change nothing. Whether each is caught takes minutes: `npm run sim:mutations`.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { MUTATIONS } from "./mutants.ts";

const read = (path: string): string =>
  readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8");

it.each(MUTATIONS)("the runtime has the place where $name", ({ file, from, to }) => {
  expect(read(file).split(from)).toHaveLength(2);
  expect(to).not.toBe(from);
});
