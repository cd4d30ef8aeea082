/** Numbers and names as a careful writer would put them. */

/** 1234567 → 1,234,567; 0.012345 → 0.0123; keeps about three significant digits of what is not whole. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "not a number";
  const size = Math.abs(value);
  const digits =
    Number.isInteger(value) || size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4;
  const plain = size < 1e15 && (size >= 1e-4 || size === 0);
  const text = plain
    ? size.toLocaleString("en-US", { maximumFractionDigits: digits })
    : size.toExponential(2).replace("e+", "e").replace("e-", "e−");
  return value < 0 && text !== "0" ? `−${text}` : text;
}

/** 1.5e6 → 1.5 million: for sentences, where digits would be noise. */
export function rough(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e12 && size < 1e15) return `${trimmed(value / 1e12)} trillion`;
  if (size >= 1e9 && size < 1e12) return `${trimmed(value / 1e9)} billion`;
  if (size >= 1e6 && size < 1e9) return `${trimmed(value / 1e6)} million`;
  return figure(value);
}

function trimmed(value: number): string {
  const size = Math.abs(value);
  const text = size.toLocaleString("en-US", { maximumFractionDigits: size >= 100 ? 0 : size >= 10 ? 1 : 2 });
  return value < 0 ? `−${text}` : text;
}

/** 0.1234 → 12.3%; never rounds something to nothing or to everything. */
export function percent(share: number): string {
  if (share > 0 && share < 0.001) return "<0.1%";
  if (share < 1 && share > 0.999) return ">99.9%";
  return `${(share * 100).toLocaleString("en-US", { maximumFractionDigits: share >= 0.1 && share <= 0.9 ? 0 : 1 })}%`;
}

/** 1, "row" → "1 row"; 2, "row" → "2 rows". */
export function count(n: number, noun: string, plural = `${noun}s`): string {
  return `${n.toLocaleString("en-US")} ${n === 1 ? noun : plural}`;
}

/** a, b and c. */
export function listed(items: readonly string[], max = 6): string {
  const shown =
    items.length > max ? [...items.slice(0, max - 1), `${items.length - max + 1} more`] : [...items];
  if (shown.length <= 1) return shown[0] ?? "";
  return `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

/** Cuts a text for a label. */
export function short(text: string, max = 40): string {
  const characters = [...text];
  return characters.length > max ? `${characters.slice(0, max - 1).join("")}…` : text;
}

/** 1536 → 1.5 KB. */
export function bytesText(bytes: number): string {
  if (bytes < 1_000) return `${bytes} bytes`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} KB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${(bytes / 1e9).toFixed(2)} GB`;
}

/** A p-value as papers print it. */
export function pValue(p: number): string {
  return p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`;
}

/** First letter upper case. */
export function sentenceCase(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A correlation with a true minus sign. */
export function signed(r: number): string {
  const text = Math.abs(r) > 0.995 && Math.abs(r) < 1 ? Math.abs(r).toFixed(3) : Math.abs(r).toFixed(2);
  return r < 0 ? `−${text}` : text;
}
