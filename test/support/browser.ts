/**
 * A real Chromium for the tests of pages. Comes as an npm package, with the libraries that a bare system
 * lacks, so that neither an installed browser nor special rights are needed.
 */

import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer, { type Browser } from "puppeteer-core";
import { tryLock } from "../../src/daemon/broker/process-lock.ts";

const ARGUMENTS = [
  "--no-sandbox", // The sandbox needs rights that an ordinary user in a container does not have.
  "--no-zygote", // Its processes would be left for the system's first process to collect; some do not.
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--font-render-hinting=none",
];

const PACKAGE = join(import.meta.dirname, "../../node_modules/@sparticuz/chromium/package.json");

/** Starts a headless browser; the caller closes it. */
export async function launchBrowser(): Promise<Browser> {
  const folder = await unpacked();
  return puppeteer.launch({
    executablePath: join(folder, "chromium"),
    headless: "shell",
    args: ARGUMENTS,
    env: {
      ...process.env,
      LD_LIBRARY_PATH: join(folder, "al2023", "lib"),
      FONTCONFIG_PATH: join(folder, "fonts"),
    },
  });
}

/** The folder with the unpacked browser: filled once per user, by one process, seen only when whole. */
async function unpacked(): Promise<string> {
  const base = join(tmpdir(), `datahammer-browser-${process.getuid?.() ?? "user"}`);
  const { version } = JSON.parse(await readFile(PACKAGE, "utf8")) as { version: string };
  const folder = join(base, version);
  await mkdir(base, { recursive: true, mode: 0o700 });
  for (;;) {
    if (existsSync(folder)) return folder;
    const outcome = await tryLock(join(base, "lock"));
    if (!outcome.held) continue; // Another test file is unpacking it.
    try {
      if (existsSync(folder)) return folder;
      const draft = join(base, "draft");
      await rm(draft, { recursive: true, force: true });
      await mkdir(draft);
      await unpackInto(draft);
      await writeFile(join(draft, "fonts", "fonts.conf"), fontsConfig(folder));
      await rename(draft, folder);
      return folder;
    } finally {
      await outcome.lock.release();
    }
  }
}

/** The package's own configuration looks for its fonts in fixed places, of which this folder is none. */
function fontsConfig(folder: string): string {
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${join(folder, "fonts")}</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>${join(folder, "fonts-cache")}</cachedir>
</fontconfig>
`;
}

/**
 * The package unpacks into the temporary folder, and its libraries only where it takes the system for the
 * function service that it was made for. Both are told to it by variables, which are put back afterwards:
 * the libraries are the browser's, not those of the other programs that tests start.
 */
async function unpackInto(folder: string): Promise<void> {
  const told = { TMPDIR: folder, AWS_LAMBDA_JS_RUNTIME: "nodejs20.x" };
  const touched = [...Object.keys(told), "LD_LIBRARY_PATH", "FONTCONFIG_PATH"];
  const before = Object.fromEntries(touched.map((name) => [name, process.env[name]]));
  Object.assign(process.env, told);
  try {
    const { default: chromium } = await import("@sparticuz/chromium");
    await chromium.executablePath();
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}
