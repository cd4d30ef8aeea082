/** Text in Mermaid diagrams: names come from people and from other programs, and must not end a label. */

/** The lines of a quoted label. Quotes would end it, and so would what looks like an entity or a tag. */
export function quotedLabel(lines: readonly string[]): string {
  return lines
    .map((line) =>
      line
        .replaceAll("#", "#35;")
        .replaceAll('"', "#quot;")
        .replaceAll("<", "#lt;")
        .replaceAll(">", "#gt;")
        .replaceAll("`", "#96;")
        .replaceAll(/\p{Cc}+/gu, " "),
    )
    .join("<br/>");
}

/** A label that goes to the end of its line. A colon, a semicolon or a comment's sign would end it before. */
export function lineLabel(text: string): string {
  return text.replaceAll(/[:;"#%\p{Cc}]/gu, " ");
}
