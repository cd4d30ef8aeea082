/** How many columns a text takes in a terminal, and making it take an exact number. */

const COMBINING = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
/** East Asian wide and emoji blocks; ambiguous ones count as one column, as terminals do. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1faff}\u{20000}-\u{3fffd}]$/u;
/** Escape sequences (CSI, OSC) and lone control characters. */
const ESCAPES = /\p{Cc}\[[0-9;?]*[ -/]*[@-~]|\p{Cc}\][^\p{Cc}]*\p{Cc}\\?|\p{Cc}/gu;

function widthOf(character: string): number {
  if (COMBINING.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

/** Columns of a text without escape sequences. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text) width += widthOf(character);
  return width;
}

/** Cut at `width` columns with an ellipsis, never longer. */
export function cut(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let kept = "";
  let used = 0;
  for (const character of text) {
    used += widthOf(character);
    if (used > width - 1) break;
    kept += character;
  }
  return width < 1 ? "" : `${kept}…`;
}

/** Exactly `width` columns: cut, or filled with blanks. */
export function fill(text: string, width: number): string {
  const short = cut(text, width);
  return short + " ".repeat(Math.max(0, width - textWidth(short)));
}

/** Free text from agents on one line, without anything that could steer the terminal. */
export function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll(ESCAPES, "").trim();
}
