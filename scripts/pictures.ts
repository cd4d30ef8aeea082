/**
 * Makes the documentation's pictures: `npm run pictures`. Runs the demo and photographs its report, then runs
 * of sixty and of five thousand steps and photographs the inspector's views of them.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { pino } from "pino";
import type { Browser } from "puppeteer-core";
import { serveAgent } from "../src/agent/host.ts";
import { connectNatsBus } from "../src/bus/nats/bus.ts";
import { systemClock } from "../src/bus/system-clock.ts";
import { connectSwarm } from "../src/client/connect.ts";
import { startDaemon } from "../src/daemon/daemon.ts";
import { launchBrowser } from "../test/support/browser.ts";
import { nightlyIndex, pictureAgents, weeklyReport } from "./picture-runs.ts";

const root = join(import.meta.dirname, "..");
const IMAGES = join(root, "docs/images");
/** What is drawn is still on its way for so long: layouts, events, transitions. */
const SETTLE_MS = 2_500;

interface Shot {
  name: string;
  path: string;
  scheme: "light" | "dark";
  width?: number;
  height?: number;
}

const folder = mkdtempSync(join(tmpdir(), "datahammer-pictures-"));
const store = join(folder, "store");
try {
  const report = demo();
  const browser = await launchBrowser();
  try {
    for (const scheme of ["light", "dark"] as const) {
      const address = pathToFileURL(join(folder, "report.html")).href;
      await photograph(browser, address, {
        name: `report-${scheme}`,
        path: "",
        scheme,
        width: 1_100,
        height: 1_000,
      });
    }
    await inspector(browser, report);
  } finally {
    await browser.close();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** @returns the demo's run */
function demo(): string {
  const command = [join(root, "dist/src/cli/main.js"), "demo", "--json", "--store", store, "--out", folder];
  const { status, stdout } = spawnSync(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
  if (status !== 0) throw new Error(`the demo ended with ${status}`);
  return (JSON.parse(String(stdout)) as { run: string }).run;
}

async function inspector(browser: Browser, demoRun: string): Promise<void> {
  const log = pino({ level: "silent" });
  const daemon = await startDaemon({
    swarm: "main",
    store,
    env: process.env,
    log,
    product: "0.1.0",
    http: "127.0.0.1:0",
  });
  const buses = [];
  const agents = [];
  try {
    for (const agent of pictureAgents()) {
      const bus = await connectNatsBus({ ...daemon.nats, swarm: daemon.swarm, name: agent.role });
      const about = { pid: process.pid, host: "workshop", version: "0.1.0" };
      const id = `${agent.role}-1`;
      buses.push(bus);
      agents.push(await serveAgent([agent], { bus, clock: systemClock, log, id, about }));
    }
    const client = await connectSwarm({ bus: daemon.bus, by: "ada" });
    await client.submit({ run: "nightly-5000", workflow: nightlyIndex() });
    await client.watch("nightly-5000", () => {});
    await client.submit({ run: "weekly-60", workflow: weeklyReport() });
    await wait(SETTLE_MS);
    const url = daemon.http ?? "";
    const shots: Shot[] = [
      { name: "inspector-60-dark", path: "/runs/weekly-60", scheme: "dark" },
      { name: "inspector-runs-light", path: "/runs", scheme: "light" },
      { name: "inspector-step-light", path: "/runs/weekly-60/steps/load-stock", scheme: "light" },
      { name: "inspector-60-light", path: "/runs/weekly-60", scheme: "light" },
      { name: "inspector-7-light", path: `/runs/${demoRun}`, scheme: "light" },
      { name: "inspector-time-light", path: `/runs/${demoRun}/time`, scheme: "light" },
      { name: "inspector-7-dark", path: `/runs/${demoRun}`, scheme: "dark" },
      { name: "inspector-plan-dark", path: `/runs/${demoRun}/plan`, scheme: "dark" },
      { name: "inspector-environment-light", path: "/runs/weekly-60/environment", scheme: "light" },
      { name: "inspector-agents-dark", path: "/agents", scheme: "dark" },
      { name: "inspector-5000-light", path: "/runs/nightly-5000", scheme: "light" },
      { name: "inspector-5000-dark", path: "/runs/nightly-5000", scheme: "dark" },
      { name: "inspector-phone-light", path: "/runs/weekly-60", scheme: "light", width: 390, height: 780 },
      {
        name: "inspector-phone-dark",
        path: "/runs/weekly-60/steps/load-stock",
        scheme: "dark",
        width: 390,
        height: 780,
      },
    ];
    for (const shot of shots) await photograph(browser, `${url}${shot.path}`, shot);
  } finally {
    await Promise.all(agents.map((agent) => agent.stop()));
    await Promise.all(buses.map((bus) => bus.close()));
    await daemon.stop();
  }
}

async function photograph(browser: Browser, address: string, shot: Shot): Promise<void> {
  const { name, scheme, width = 1_280, height = 800 } = shot;
  const page = await browser.newPage();
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(address);
  await page.waitForSelector("h1");
  if (shot.path !== "") await wait(SETTLE_MS);
  await page.screenshot({ path: join(IMAGES, `${name}.png`) });
  await page.close();
}
