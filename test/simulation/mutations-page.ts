/** The page that tells which deliberate mistake was caught by which rule: generated, and held true by the check. */
import { MUTATIONS } from "./mutants.ts";

/** @param rules the rule that caught each mutation, in their order; undefined: none did */
export function mutationsPage(rules: readonly (string | undefined)[]): string {
  const rows = MUTATIONS.map(
    ({ name, file }, at) => `| ${name} | \`${file}\` | ${rules[at] ?? "**not caught**"} |`,
  );
  return `${[
    "# Deliberate mistakes, and what caught them",
    "",
    "Each is one change of the runtime's source. `npm run sim:mutations` makes them one by one, lives seeds from 1 on",
    "until a judge objects, and holds this page to what came of it (`-- -u` writes it anew). What the rules say is in",
    "[simulation.md](simulation.md#what-is-judged). One that begins with *and* is made with the one before it: a second",
    "line of defence, which nothing gets through to while the first stands.",
    "",
    "| what is wrong | where | first rule that it broke |",
    "| --- | --- | --- |",
    ...rows,
  ].join("\n")}\n`;
}
