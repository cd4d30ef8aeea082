/** The few sentences that a reader needs when there is no time for more. */
import { count, figure, listed, percent, rough } from "../wording.ts";
import type { ReportParts } from "./parts.ts";

export function summarise(parts: ReportParts): string[] {
  const { loaded, cleaning, findings, trend, model } = parts;
  const kinds = (kind: string) => loaded.columns.filter((column) => column.kind === kind).length;
  const made = [
    [kinds("number") + kinds("year"), "number"],
    [kinds("category") + kinds("boolean"), "category"],
    [kinds("date"), "date"],
    [kinds("text"), "free text"],
    [kinds("id"), "identifier"],
  ] as const;
  const parted = made.filter(([n]) => n > 0).map(([n, noun]) => `${n} ${n === 1 ? noun : plural(noun)}`);
  const sentences = [
    `${parts.name} holds ${count(loaded.rows, "row")} of ${count(loaded.columns.length, "column")}${parted.length > 0 ? `: ${listed(parted)}` : ""}.`,
  ];
  const worst = [...loaded.columns].sort((a, b) => b.missing - a.missing)[0];
  const cells = loaded.rows * loaded.columns.length;
  if (loaded.missingCells === 0) sentences.push("No value is missing.");
  else {
    sentences.push(
      `${percent(loaded.missingCells / cells)} of all values are missing, most of all in ${worst?.name ?? ""} (${percent((worst?.missing ?? 0) / loaded.rows)} of its rows).`,
    );
  }
  if (cleaning) {
    const changes = cleaning.actions.filter((action) => action.changed > 0).map((action) => action.did);
    const more =
      changes.length > 2
        ? ` ${count(changes.length - 2, "more change")} ${changes.length === 3 ? "is" : "are"} listed under quality.`
        : "";
    sentences.push(
      changes.length === 0
        ? "Cleaning changed nothing: missing values were left missing."
        : `${changes.slice(0, 2).join(" ")}${more}`,
    );
  }
  const relation = findings?.findings.find((finding) => finding.kind === "correlation");
  const group = findings?.findings.find((finding) => finding.kind === "group");
  if (relation) sentences.push(relation.sentence);
  if (group) sentences.push(group.sentence);
  if (trend?.sentences[0]) sentences.push(trend.sentences[0]);
  if (model) {
    const error = model.kind === "number" ? rough : percent;
    sentences.push(
      model.better
        ? `${model.target} can be predicted from the other columns better than by guessing: ${model.kind === "number" ? "the mean absolute error" : "the share of wrong answers"} on held-out rows is ${error(model.error)} instead of ${error(model.baselineError)}${model.r2 === null ? "" : ` (R² = ${figure(model.r2)})`}.`
        : `The other columns do not predict ${model.target} measurably better than always guessing its usual value.`,
    );
  }
  return sentences;
}

function plural(noun: string): string {
  if (noun === "category") return "categories";
  return noun === "free text" ? "free texts" : `${noun}s`;
}
