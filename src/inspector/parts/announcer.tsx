/** Says to screen readers what has changed where it cannot be seen by them. */
import { signal } from "@preact/signals";

const said = signal("");

export function announce(text: string): void {
  said.value = text;
}

export function Announcer() {
  return (
    <div class="unseen" aria-live="polite" role="status" id="announcer">
      {said.value}
    </div>
  );
}
