/**
 * Would catch: a report that a browser shows wrongly: markup from the data that lives, a request to the
 * network, an error in the console, a page wider than a phone; and a logbook that is no notebook.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Notebook } from "../../examples/data-report/report/notebook.ts";
import { appendTrace } from "../../examples/data-report/swarm.ts";
import { launchBrowser } from "../support/browser.ts";
import { runJob } from "./one-process.ts";

const EVIL = `<img src="http://203.0.113.1/x.png" onerror="document.title='owned'"><script>document.title='owned'</script>`;

let folder = "";
let report = "";
let browser: Browser;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "data-report-page-"));
  const path = join(folder, "evil <b>name.json");
  const rows = Array.from({ length: 200 }, (_, i) => ({
    [`label ${EVIL}`]: i % 3 ? EVIL : "plain",
    amount: i === 17 ? null : (i * 37) % 100,
    size: ((i * 37) % 100) + ((i * 61) % 30),
    when: `2021-${String((i % 12) + 1).padStart(2, "0")}-15`,
  }));
  await writeFile(path, JSON.stringify(rows));
  const job = await runJob(path, `Report on this, and predict amount ${EVIL}`, join(folder, "out"));
  report = (job.environment.report as { path: string }).path;
  await appendTrace(report, [
    {
      seq: 3,
      ts: "2026-01-02T03:04:05.678Z",
      actor: "step:load",
      from: "ready",
      to: "running",
      event: "started",
      agent: EVIL,
    },
  ]);
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

async function opened(width: number) {
  const page = await browser.newPage();
  const heard: string[] = [];
  page.on("console", (message) => heard.push(message.text()));
  page.on("pageerror", (error) => heard.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith("file:")) heard.push(request.url());
  });
  await page.setViewport({ width, height: 900 });
  await page.goto(pathToFileURL(report).href, { waitUntil: "load" });
  return { page, heard };
}

describe("the page in a browser", () => {
  it("asks the network for nothing, and is quiet", async () => {
    const { page, heard } = await opened(1_000);
    expect(heard).toEqual([]);
    await page.close();
  });

  it("shows markup from the data as text: in names, values, goal, trace and drawings", async () => {
    const { page } = await opened(1_000);
    // Given as text: what runs in the page is not typed by this project's libraries.
    const seen = (await page.evaluate(`({
      title: document.title,
      live: document.querySelectorAll("img, script, iframe, object, [onerror]").length,
      text: document.body.textContent,
      drawings: document.querySelectorAll("figure svg").length,
    })`)) as { title: string; live: number; text: string; drawings: number };
    expect(seen.title).toBe("Report on evil <b>name.json");
    expect(seen.live).toBe(0);
    expect(seen.text).toContain("<script>document.title='owned'</script>");
    expect(seen.drawings).toBeGreaterThan(5);
    await page.close();
  });

  it("has every section that the plan had a step for, and the trace", async () => {
    const { page } = await opened(1_000);
    const headings = await page.$$eval("h2, h3", (all) => all.map((heading) => heading.textContent ?? ""));
    for (const heading of [
      "What the data is",
      "Quality, and what was done about it",
      "Findings",
      "Over time",
      "Model",
      "Trace",
    ]) {
      expect(headings).toContain(heading);
    }
    await page.close();
  });

  it("fits a phone without scrolling sideways", async () => {
    const { page } = await opened(360);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
    await page.close();
  });
});

it("a trace is written into a page once", async () => {
  await expect(appendTrace(report, [])).rejects.toThrow(/no place for a trace/);
});

describe("the logbook", () => {
  it("is a notebook of format 4.5: unique cell ids, sources and outputs as lines", async () => {
    const notebook = JSON.parse(await readFile(join(folder, "out", "logbook.ipynb"), "utf8")) as Notebook;
    expect([notebook.nbformat, notebook.nbformat_minor]).toEqual([4, 5]);
    const ids = notebook.cells.map((cell) => cell.id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const cell of notebook.cells) {
      expect(cell.id).toMatch(/^[a-zA-Z0-9_-]{1,64}$/);
      expect(cell.source.every((line) => typeof line === "string")).toBe(true);
      if (cell.cell_type === "code") {
        expect(Number.isInteger(cell.execution_count)).toBe(true);
        for (const output of cell.outputs ?? []) {
          expect(output.output_type).toBe("execute_result");
          expect(output.execution_count).toBe(cell.execution_count);
          expect(JSON.stringify((output.data as Record<string, unknown>)["text/html"])).not.toContain(
            "<script",
          );
        }
      } else {
        expect(Object.keys(cell)).not.toContain("outputs");
        expect(cell.source.join("")).not.toContain("<script");
      }
    }
  });

  it("has every step with the queries that it ran", async () => {
    const notebook = JSON.parse(await readFile(join(folder, "out", "logbook.ipynb"), "utf8")) as Notebook;
    const text = notebook.cells.map((cell) => cell.source.join("")).join("\n");
    for (const task of [
      "loader.load",
      "explorer.profile",
      "cleaner.clean",
      "analyst.analyse",
      "analyst.trend",
      "modeler.model",
      "visualizer.draw-trend",
    ]) {
      expect(text).toContain(task);
    }
    expect(text).toContain("read_json(");
    expect(text).toContain("quantile_cont(");
  });
});
