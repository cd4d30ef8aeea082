/**
 * Whether the timeline is shown under the run: kept, since it is about the reader's screen. On a small one it is
 * not shown at first.
 */
import { signal } from "@preact/signals";

const KEY = "datahammer.timeline";

const BY_DEFAULT = matchMedia("(min-width: 641px)").matches;

export const timelineShown = signal(stored());

export function showTimeline(shown: boolean): void {
  timelineShown.value = shown;
  if (shown === BY_DEFAULT) localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, shown ? "shown" : "hidden");
}

function stored(): boolean {
  const kept = localStorage.getItem(KEY);
  return kept === null ? BY_DEFAULT : kept === "shown";
}
