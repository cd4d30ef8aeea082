/** The address bar as state: every view has an address, and every address shows its view. */
import { signal } from "@preact/signals";

export interface Place {
  /** Without the empty first part: `["runs", "r1"]`. */
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
}

export const place = signal<Place>(read());

function read(): Place {
  const parts = location.pathname.split("/").filter((part) => part !== "");
  return { parts: parts.map(decodeURIComponent), query: new URLSearchParams(location.search) };
}

/** Goes to an address within the page. */
export function go(address: string, options: { replace?: boolean } = {}): void {
  if (options.replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  place.value = read();
}

/** The same view with another query; an empty value leaves the name out. */
export function setQuery(changes: Record<string, string | undefined>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  go(`${location.pathname}${text === "" ? "" : `?${text}`}`, { replace: true });
}

export function runAddress(run: string, ...rest: string[]): string {
  const at = place.peek().query.get("at");
  const path = ["runs", run, ...rest].map(encodeURIComponent).join("/");
  return `/${path}${at === null ? "" : `?at=${at}`}`;
}

/** Follows links inside the page without loading it again. */
export function startRouter(): void {
  addEventListener("popstate", () => {
    place.value = read();
  });
  document.addEventListener("click", (event) => {
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    const link = (event.target as Element | null)?.closest("a");
    if (!plain || event.defaultPrevented || !link || link.target !== "" || link.hasAttribute("download"))
      return;
    const url = new URL(link.href, location.href);
    if (url.origin !== location.origin || url.pathname.startsWith("/api/")) return;
    event.preventDefault();
    go(`${url.pathname}${url.search}`);
  });
}
