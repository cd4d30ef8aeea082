/** A command that tells the same in a terminal: one click selects all of it. */
export function Command({ words, at }: { words: readonly string[]; at?: number | undefined }) {
  // By sequence, never by time: it means the same whatever the terminal's zone.
  const moment = at === undefined ? "" : ` --at ${at}`;
  return (
    <p class="soft">
      In a terminal: <code class="command">{`datahammer ${words.join(" ")}${moment}`}</code>
    </p>
  );
}
