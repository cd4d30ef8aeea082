/**
 * Who may ask: the checks that every request passes before any route sees it.
 *
 *  - G1 The Host header names this daemon: an address literal, `localhost`, or a name that was given. A page
 *    of somebody else, whose name was pointed at this machine (DNS rebinding), has its own name there.
 *  - G2 An Origin is this daemon's own: pages of other sites read nothing and send nothing.
 *  - G3 A write carries JSON, which a foreign form cannot send without being asked for permission first, and
 *    permission is never given.
 *  - G4 With a token, every request shows it, as bearer or in the page's cookie. Without one, only this
 *    machine is answered.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { hostname } from "node:os";
import { HttpError } from "./problem.ts";

const COOKIE = "datahammer";
const NAMED_HERE = new Set(["localhost", hostname().toLowerCase()]);

export interface GuardOptions {
  /** What the daemon was told to listen on. */
  host: string;
  token: string | undefined;
}

export class Guard {
  readonly #options: GuardOptions;

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  /** G1 to G3. @throws HttpError 403, 415 */
  assertSafe(request: IncomingMessage): void {
    const host = request.headers.host ?? "";
    const name = hostName(host);
    if (name === undefined || !this.#isOwnName(name)) {
      throw new HttpError(403, "E_HOST", `this daemon is not called "${host.slice(0, 100)}"`, {
        remedy: "Use the address that `datahammer up` printed.",
      });
    }
    const { origin } = request.headers;
    const site = request.headers["sec-fetch-site"];
    const foreign =
      (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) ||
      (site === "cross-site" && isWrite(request));
    if (foreign) {
      throw new HttpError(403, "E_ORIGIN", "pages of other sites may not use this daemon", {
        remedy: "Open the daemon's own page, or call it from a program without an Origin header.",
      });
    }
    if (isWrite(request) && !/^application\/json\b/i.test(request.headers["content-type"] ?? "")) {
      throw new HttpError(415, "E_CONTENT_TYPE", "a write has to be JSON", {
        remedy: "Send the header content-type: application/json.",
      });
    }
  }

  /** G4. @throws HttpError 401, 403 */
  assertAllowed(request: IncomingMessage): void {
    const { token } = this.#options;
    if (token === undefined) {
      if (isThisMachine(request.socket.remoteAddress)) return;
      throw new HttpError(403, "E_HTTP_TOKEN", "without a token only its own machine is answered", {
        remedy: "Start the daemon with --http-token TOKEN, and give the token.",
      });
    }
    if (this.isToken(bearer(request) ?? cookie(request) ?? "")) return;
    throw new HttpError(401, "E_TOKEN", "the daemon asks for its token", {
      remedy: "Send it as `Authorization: Bearer TOKEN`: what `datahammer up --http-token` was given.",
      headers: { "www-authenticate": 'Bearer realm="datahammer"' },
    });
  }

  /** Compared without telling by its duration how much was right. */
  isToken(given: string): boolean {
    const { token } = this.#options;
    return token !== undefined && timingSafeEqual(digest(given), digest(token));
  }

  /** The header that lets the page go on without its reader giving the token again. */
  cookieFor(token: string): string {
    return `${COOKIE}=${encodeURIComponent(token)}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000`;
  }

  #isOwnName(name: string): boolean {
    if (isAddress(name) || NAMED_HERE.has(name) || name.endsWith(".localhost")) return true;
    // With a token a foreign name gains nothing: its pages have no cookie of this daemon.
    return name === this.#options.host.toLowerCase() || this.#options.token !== undefined;
  }
}

const isWrite = ({ method }: IncomingMessage): boolean => method !== "GET" && method !== "HEAD";
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
const isAddress = (name: string): boolean => /^\d{1,3}(\.\d{1,3}){3}$/.test(name) || name.startsWith("[");

function hostName(host: string): string | undefined {
  return /^(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/.exec(host)?.[1]?.toLowerCase();
}

function isThisMachine(address: string | undefined): boolean {
  return address !== undefined && /^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/.test(address);
}

function bearer({ headers }: IncomingMessage): string | undefined {
  return /^Bearer (.+)$/i.exec(headers.authorization ?? "")?.[1];
}

function cookie({ headers }: IncomingMessage): string | undefined {
  for (const pair of (headers.cookie ?? "").split(";")) {
    const [name, ...value] = pair.trim().split("=");
    if (name !== COOKIE) continue;
    try {
      return decodeURIComponent(value.join("="));
    } catch {
      return undefined; // Not written by this daemon.
    }
  }
  return undefined;
}
