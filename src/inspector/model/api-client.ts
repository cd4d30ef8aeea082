/** Asking the daemon: JSON in and out, problems as errors, streams that go on where they broke off. */
import { signal } from "@preact/signals";
import type { Problem } from "../../http/api.ts";

export class ApiError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }

  /** Nobody answers just now, the daemon or its broker: the same question may be answered later. */
  get mayPass(): boolean {
    const { status } = this.problem;
    return status === 0 || (status >= 502 && status <= 504);
  }
}

/** Who may answer later is asked again after so long. */
export const RETRY_MS = 3_000;

/** The daemon asks for its token: the page shows the form for it. */
export const tokenWanted = signal(false);

export async function ask<Answer>(path: string, signal?: AbortSignal): Promise<Answer> {
  return read(await fetch(path, signal === undefined ? {} : { signal }));
}

export async function tell<Answer>(method: "POST" | "PUT", path: string, body: unknown): Promise<Answer> {
  const headers = { "content-type": "application/json" };
  return read(await fetch(path, { method, headers, body: JSON.stringify(body) }));
}

async function read<Answer>(response: Response): Promise<Answer> {
  if (response.ok) return (await response.json()) as Answer;
  const problem = (await response.json().catch(() => undefined)) as Problem | undefined;
  if (response.status === 401) tokenWanted.value = true;
  throw new ApiError(
    problem ?? {
      type: "about:blank",
      title: "No answer",
      status: response.status,
      detail: `the daemon answered ${response.status}`,
      code: "E_HTTP",
    },
  );
}

export function pathOf(...parts: string[]): string {
  return `/api/${parts.map(encodeURIComponent).join("/")}`;
}

export interface Stream {
  close(): void;
}

/**
 * Server-sent events. The browser comes back by itself, with the last id; a hidden page lets go of its
 * connection, since a browser has only a few for one daemon, and takes it up again when it is looked at. One that
 * has been silent for longer than the daemon ever is, as after a computer's sleep, is given up and made anew.
 * @param address asked for at every new connection, so that it can say where to go on
 */
export function openStream(
  address: () => string,
  listeners: Record<string, (data: unknown) => void>,
  onConnected: (connected: boolean) => void,
): Stream {
  let source: EventSource | undefined;
  let letGo: ReturnType<typeof setTimeout> | undefined;
  let heardAt = Date.now();
  const heard = (): void => {
    heardAt = Date.now();
  };
  const open = (): void => {
    heard();
    source = new EventSource(address());
    source.addEventListener(HEARTBEAT, heard);
    source.onopen = () => {
      heard();
      onConnected(true);
    };
    source.onerror = () => {
      onConnected(false);
      // Refused for good, as by a daemon that was started again with a token: try as a new connection.
      if (source?.readyState !== EventSource.CLOSED) return;
      source = undefined;
      letGo = setTimeout(open, RETRY_MS);
    };
    for (const [event, listener] of Object.entries(listeners)) {
      source.addEventListener(event, (message) => {
        heard();
        listener(JSON.parse((message as MessageEvent<string>).data));
      });
    }
  };
  const watch = setInterval(() => {
    // One that is being made may hang as well: on a connection that the browser had kept and that is dead.
    if (source === undefined || Date.now() - heardAt < SILENT_MS) return;
    source.close();
    onConnected(false);
    open();
  }, WATCH_MS);
  const onVisibility = (): void => {
    clearTimeout(letGo);
    if (document.hidden) {
      letGo = setTimeout(() => {
        source?.close();
        source = undefined;
      }, HIDDEN_MS);
    } else if (source === undefined) open();
  };
  document.addEventListener("visibilitychange", onVisibility);
  open();
  return {
    close: () => {
      document.removeEventListener("visibilitychange", onVisibility);
      clearInterval(watch);
      clearTimeout(letGo);
      source?.close();
    },
  };
}

const HIDDEN_MS = 5_000;
/** The event with which the daemon says every fifteen seconds that it is still there. */
const HEARTBEAT = "here";
const SILENT_MS = 40_000;
const WATCH_MS = 5_000;
