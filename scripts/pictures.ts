/** Makes the documentation's pictures: `npm run pictures`. Runs the demo and photographs its report. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { launchBrowser } from "../test/support/browser.ts";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "datahammer-pictures-"));
try {
  const command = [
    join(root, "dist/src/cli/main.js"),
    "demo",
    "--store",
    join(folder, "store"),
    "--out",
    folder,
  ];
  const demo = spawnSync(process.execPath, command, { stdio: "inherit" });
  if (demo.status !== 0) throw new Error(`the demo ended with ${demo.status}`);
  const browser = await launchBrowser();
  try {
    for (const scheme of ["light", "dark"]) {
      const page = await browser.newPage();
      await page.setViewport({ width: 1_100, height: 1_000 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.goto(pathToFileURL(join(folder, "report.html")).href);
      await page.screenshot({ path: join(root, `docs/images/report-${scheme}.png`) });
      await page.close();
    }
  } finally {
    await browser.close();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
