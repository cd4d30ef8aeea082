/**
 * How fast the inspector is with a run of five thousand steps: `npm run page-speed [-- --opens N]`.
 *
 * Measures the first open after the daemon's start (nothing is read yet), opens after it, and how smooth the
 * page stays while such a run goes on: the time between frames, and what kept the page from drawing one.
 * Daemon, agents and browser are processes of their own. Prints a table; judges nothing, since a loaded
 * machine says nothing about the page.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import type { Browser, Page } from "puppeteer-core";
import { connectSwarm } from "../src/client/connect.ts";
import type { SwarmClient } from "../src/client/swarm.ts";
import { launchBrowser } from "../test/support/browser.ts";
import { nightlyIndex } from "./picture-runs.ts";

const root = join(import.meta.dirname, "..");
const { values } = parseArgs({
  options: { opens: { type: "string", default: "5" }, profile: { type: "string" } },
});
const opens = Number(values.opens);
const folder = mkdtempSync(join(tmpdir(), "datahammer-page-speed-"));

/** What the page draws last: the graph. */
const DRAWN = "canvas[data-drawn=true]";
/** What it says once it knows how the steps ended; a few of them fail. */
const TOLD = `/^(4,9\\d\\d|5,000) . 5,000$/.test(document.querySelector(".run-progress")?.innerText.trim())`;
const RUN = "nightly";

const daemons = new Set<ChildProcess>();

interface Served {
  url: string;
  client: SwarmClient;
  stop: () => Promise<void>;
}

async function serve(extra: readonly string[] = [], node: readonly string[] = []): Promise<Served> {
  const store = join(folder, "store");
  const command = [...node, join(root, "dist/src/cli/main.js"), "up", "--json", "--store", store];
  const child = spawn(process.execPath, [...command, "--http", "127.0.0.1:0", ...extra], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  daemons.add(child);
  child.once("exit", () => daemons.delete(child));
  const { http, nats } = await ready(child);
  const { token } = JSON.parse(readFileSync(join(store, "broker.json"), "utf8")) as { token: string };
  const client = await connectSwarm({ url: nats, token, by: "ada" });
  return {
    url: http,
    client,
    stop: async () => {
      await client.close();
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGINT");
      await ended;
    },
  };
}

async function ready(child: ChildProcess): Promise<{ http: string; nats: string }> {
  if (child.stdout === null) throw new Error("the daemon has no stdout");
  for await (const line of createInterface(child.stdout)) {
    const said = JSON.parse(line) as { event: string; http: string; nats: string };
    if (said.event === "ready") return said;
  }
  throw new Error("the daemon ended before it was ready");
}

/** Milliseconds from the first request to a drawn graph, and to what became of its steps. */
async function open(browser: Browser, url: string): Promise<{ drawn: number; told: number }> {
  const page = await browser.newPage();
  await page.setViewport({ width: 1_280, height: 800 });
  const begin = performance.now();
  await page.goto(`${url}/runs/${RUN}`, { waitUntil: "domcontentloaded" });
  await page.waitForSelector(DRAWN, { timeout: 60_000 });
  const drawn = performance.now() - begin;
  await page.waitForFunction(TOLD, { timeout: 60_000 });
  const took = performance.now() - begin;
  await page.close();
  return { drawn, told: took };
}

/** Notes frames and long tasks until `collect` is called. */
async function watchFrames(page: Page): Promise<() => Promise<{ frames: number[]; long: number[] }>> {
  await page.evaluate(`{
    window.seen = { frames: [], long: [] };
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) seen.long.push(duration);
    }).observe({ type: "longtask" });
    let last = performance.now();
    const frame = (now) => {
      seen.frames.push(now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }`);
  return async () => (await page.evaluate("seen")) as { frames: number[]; long: number[] };
}

async function smoothness(browser: Browser, { url, client }: Served): Promise<string[][]> {
  const page = await browser.newPage();
  await page.setViewport({ width: 1_280, height: 800 });
  await client.submit({ run: "live", workflow: nightlyIndex() });
  await page.goto(`${url}/runs/live`);
  await page.waitForSelector(DRAWN, { timeout: 60_000 });
  const collect = await watchFrames(page);
  const begin = performance.now();
  const before = await page.evaluate("document.querySelector('.run-progress').innerText");
  await client.watch("live", () => {});
  const seconds = (performance.now() - begin) / 1_000;
  const { frames, long } = await collect();
  await page.close();
  return [
    ["watched", `from ${before} to the end, ${seconds.toFixed(1)} s`],
    ["frames", `${frames.length}, ${(frames.length / seconds).toFixed(0)} a second`],
    ["time between frames", spread(frames)],
    ["tasks over 50 ms", long.length === 0 ? "none" : `${long.length}, ${spread(long)}`],
  ];
}

function openRows(what: string, opened: readonly { drawn: number; told: number }[]): string[][] {
  return [
    [`${what}: graph drawn`, spread(opened.map(({ drawn }) => drawn))],
    ["  … with what became of every step", spread(opened.map(({ told }) => told))],
  ];
}

function spread(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): string =>
    `${(sorted[Math.floor(share * (sorted.length - 1))] ?? 0).toFixed(0)} ms`;
  return `p50 ${at(0.5)}, p95 ${at(0.95)}, p99 ${at(0.99)}, longest ${at(1)}`;
}

const browser = await launchBrowser();
try {
  const rows: string[][] = [];
  const agents = ["--agents", join(root, "scripts/picture-agents.ts")];
  const first = await serve(agents);
  await first.client.submit({ run: RUN, workflow: nightlyIndex() });
  await first.client.watch(RUN, () => {});
  await first.stop();
  const cold: { drawn: number; told: number }[] = [];
  for (let round = 0; round < opens; round++) {
    const profile = values.profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${values.profile}`];
    const daemon = await serve([], profile);
    cold.push(await open(browser, daemon.url));
    if (round === opens - 1) {
      rows.push(...openRows("first open after the daemon's start", cold));
      const warm: { drawn: number; told: number }[] = [];
      for (let again = 0; again < opens; again++) warm.push(await open(browser, daemon.url));
      rows.push(...openRows("opens after it", warm));
    }
    await daemon.stop();
  }
  const live = await serve(agents);
  rows.push(...(await smoothness(browser, live)));
  await live.stop();
  for (const [what, result] of rows) process.stdout.write(`${(what ?? "").padEnd(54)}${result}\n`);
} finally {
  await browser.close();
  const ended = [...daemons].map((child) => new Promise((resolve) => child.once("exit", resolve)));
  for (const child of daemons) child.kill("SIGINT");
  await Promise.all(ended);
  rmSync(folder, { recursive: true, force: true });
}
