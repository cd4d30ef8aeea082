/**
 * The inspector page in a real browser, on a real daemon. Catches: a view that does not show what the log
 * says, a page that has to be loaded again to be right, a moment that differs from what was then, an action
 * without its question, five thousand steps that do not open, markup from values that comes alive, and a page
 * that cannot be used by keyboard, by a screen reader, or on a phone.
 */
import type { Browser } from "puppeteer-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type HttpStage, openHttpStage } from "../http/stage.ts";
import { launchBrowser } from "../support/browser.ts";
import { DrivenPage, type PageOptions } from "./driven-page.ts";

const EVIL = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;

let stage: HttpStage;
let browser: Browser;
let pages: DrivenPage[] = [];

beforeAll(async () => {
  [stage, browser] = await Promise.all([openHttpStage(), launchBrowser()]);
  await stage.client.submit({ run: "finished", workflow: PIPELINE });
  await stage.client.watch("finished", () => {});
});
afterEach(async () => {
  const complaints = pages.flatMap((page) => page.complaints);
  await Promise.all(pages.map((page) => page.close()));
  pages = [];
  expect(complaints).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await stage?.stop();
});

const PIPELINE = {
  name: "pipeline",
  steps: [
    {
      id: "load",
      agent: "worker",
      task: "work",
      inputs: { give: { made: { rows: 3, note: EVIL } } },
      outputs: ["made"],
    },
    { id: "pass", agent: "worker", task: "pass", dependsOn: ["load"] },
    {
      id: "fail",
      agent: "worker",
      task: "fail",
      dependsOn: ["load"],
      onFailure: "continue",
      retry: { maxAttempts: 2, initial: "1ms" },
    },
    {
      id: "last",
      agent: "worker",
      task: "work",
      dependsOn: ["pass", "fail"],
      inputs: { give: { rows: "${env.made.rows}" } },
    },
  ],
};
const held = (gate: string, more: object = {}) => ({
  id: "hold",
  agent: "worker",
  task: "hold",
  inputs: { gate },
  ...more,
});

async function open(path: string, options?: PageOptions): Promise<DrivenPage> {
  const page = await DrivenPage.open(browser, stage.url, path, options);
  pages.push(page);
  return page;
}

describe("the list of runs", () => {
  it("shows a run that begins and ends while it is looked at", async () => {
    const page = await open("/runs");
    await stage.client.submit({ run: "begins", workflow: { steps: [held("begins")] } });
    await page.says("tr", /begins[^|]*running/i);
    stage.open("begins");
    await page.says("tr", /begins[^|]*done/i);
  });

  it("keeps words and status in the address, and leads to the run", async () => {
    const page = await open("/runs");
    await page.page.type("input[type=search]", "finish");
    await page.until(`location.search === "?q=finish" && document.querySelectorAll("tbody tr").length === 1`);
    await page.click("button.chip", /^failed/);
    await page.says(".empty", /No run matches/);
    expect(page.address).toBe("/runs?q=finish&status=failed");
    await page.click("button.chip", /^failed/);
    await page.click("a.run-link", /finished/);
    await page.says("h1", /^finished$/);
    expect(page.address).toBe("/runs/finished");
  });
});

describe("a run", () => {
  it("names the step that the mouse is over: in a large graph there is no room for names", async () => {
    const page = await open("/runs/begins");
    await page.element("canvas[data-drawn=true]");
    const { x, y, width, height } = await page.value<Record<"x" | "y" | "width" | "height", number>>(
      `document.querySelector(".graph canvas").getBoundingClientRect().toJSON()`,
    );
    await page.page.mouse.move(x + width / 2, y + height / 2);
    await page.says(".graph .hint", /^hold\s[\s\S]*worker\.hold/);
    await page.page.mouse.move(x + 5, y + 5);
    await page.until(`document.querySelector(".graph .hint") === null`);
  });

  it("goes on while it is looked at, without being loaded again", async () => {
    const steps = [held("live"), { id: "after", agent: "worker", task: "work", dependsOn: ["hold"] }];
    await stage.client.submit({ run: "live", workflow: { steps } });
    await stage.held("live");
    const page = await open("/runs/live/list");
    await page.says(".rows-body", /hold\s+running[\s\S]*after\s+waiting for others/);
    stage.open("live");
    await page.says(".rows-body", /hold\s+done[\s\S]*after\s+done/);
    await page.says(".pill", /done/);
    await page.says("#announcer", /Run live is done/);
  });

  it("is taken back to a moment by the slider, and the address of the moment shows the same", async () => {
    const page = await open("/runs/finished/list");
    await page.says(".rows-body", /last\s+done/);
    await page.slide(0);
    await page.says(".rows-body", /load\s+waiting for an agent[\s\S]*last\s+waiting for others/);
    await page.until(`/[?]at=[0-9]+$/.test(location.search)`);
    const again = await open(page.address);
    await again.says(".rows-body", /load\s+waiting for an agent[\s\S]*last\s+waiting for others/);
    await again.click("nav.tabs a", /Environment/);
    await again.says(".run-main", /Nothing has been written yet/);
    await again.click("button.live-button", /End/);
    await again.says(".env-entry", /made[\s\S]*by load \(worker-1\)/);
    await again.until(`location.search === ""`);
  });

  it("shows a step with the way it went, its values, attempts and errors", async () => {
    const page = await open("/runs/finished/steps/fail");
    await page.says(".panel", /failed · worker.fail[\s\S]*attempt 2 of 2/);
    await page.says(".panel", /it went wrong on purpose/);
    const way = await page.value<string>(`document.querySelector(".statechart").getAttribute("aria-label")`);
    expect(way).toContain("pending, ready, running, ready, running, failed");
    await page.until(`document.querySelectorAll(".statechart .arrow.on").length === 4`);
    await page.click(".chip", /^load$/);
    await page.says(".panel", /Outputs[\s\S]*rows\s*3/);
    expect(page.address).toBe("/runs/finished/steps/load");
  });

  it("shows who handed a step to whom", async () => {
    const page = await open("/runs/finished/steps/pass");
    await page.says(".panel", /handed to helper.work: not my trade/);
  });

  it("shows what undoes its steps, and the plan's other ways", async () => {
    const undo = (id: string, dependsOn: string[]) => ({
      id,
      agent: "worker",
      task: "work",
      dependsOn,
      compensate: { agent: "helper", task: "work" },
    });
    const broken = {
      id: "broken",
      agent: "worker",
      task: "fail",
      dependsOn: ["b"],
      retry: { maxAttempts: 1 },
    };
    const steps = [undo("a", []), undo("b", ["a"]), broken];
    await stage.client.submit({ run: "undone", workflow: { steps } });
    await stage.client.watch("undone", () => {});
    const page = await open("/runs/undone");
    await page.element(`canvas[data-drawn=true][aria-label^="Graph of 5 steps"]`);
    await page.page.focus(".graph canvas");
    for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"])
      await page.page.keyboard.press(key as "ArrowDown");
    await page.says("#announcer", /, done/);
    await stage.client.submit({ run: "planned", want: ["made"] });
    await stage.client.watch("planned", () => {});
    const planned = await open("/runs/planned/plan");
    await planned.says(
      ".plan",
      /1 alternative[\s\S]*worker\.remake\s+instead of work gives made, too, at a cost of 9/,
    );
  });

  it("counts no step that a revision of the plan left out, and still shows what became of it", async () => {
    await stage.client.submit({ run: "mended", want: ["mended"] });
    await stage.client.watch("mended", () => {});
    const page = await open("/runs/mended/list");
    await page.says(".pill", /done/);
    await page.until(`document.querySelector(".run-progress").innerText.trim() === "1 / 1"`);
    await page.says(".rows-body", /mend\s+done[\s\S]*break\s+failed\s+left out of the plan/);
    await page.click(".rows-body a", /^break$/);
    await page.says(".panel", /Revision 1 of the plan left it out/);
  });

  it("says where its time went, and why a step took its way", async () => {
    const page = await open("/runs/finished/time");
    await page.says(".time-view", /It took[\s\S]*running[\s\S]*load[\s\S]*last/);
    await page.says(".command", /^datahammer why finished$/);
    await page.click(".time-path a", /^last$/);
    await page.says(".panel .story", /last is task work of role worker/);
    await page.click(".panel .story button", /^#\d+$/);
    await page.until(`/[?]at=\\d+$/.test(location.search)`);
    await page.says(".panel .command", /^datahammer why finished last --at \d+$/);
  });

  it("shows what happened at a time, in the reader's own zone", async () => {
    const page = await open("/runs/finished/log");
    await page.says(".row-head", /Time, UTC/);
    const time = await page.value<string>(`document.querySelector(".rows-body .c-time").innerText.trim()`);
    await page.page.type("input[type=search]", time);
    await page.until(
      `[...document.querySelectorAll(".rows-body .c-time")].every((cell) => cell.innerText.trim() === "${time}")`,
    );
    await page.says(".moment", /\d\d:\d\d:\d\d\.\d{3} UTC · #\d+/);
  });

  it("keeps the timeline away where the reader has hidden it", async () => {
    const page = await open("/runs/finished");
    await page.element(".timeline canvas");
    await page.click(".fold-timeline", /Timeline/);
    await page.until(`document.querySelector(".timeline") === null`);
    const again = await open("/runs/finished");
    await again.element(".fold-timeline[aria-expanded=false]");
    await again.click(".fold-timeline", /Timeline/);
    await again.element(".timeline canvas");
  });

  it("shows progress and partial output while a step runs", async () => {
    const steps = [held("talk-1"), { ...held("talk-2"), id: "second", dependsOn: ["hold"] }];
    await stage.client.submit({ run: "talk", workflow: { steps } });
    await stage.held("talk-1");
    const page = await open("/runs/talk/steps/second");
    await page.says(".panel", /waiting for others/);
    await page.element("main[data-live=true]");
    stage.open("talk-1");
    await page.says(".live-output", /waiting at the gate[\s\S]*half way/);
    stage.open("talk-2");
    await page.says(".panel", /done · worker.hold/);
  });

  it("shows each key with writer, revision and history", async () => {
    const page = await open("/runs/finished/environment");
    await page.says(".env-entry", /made[\s\S]*revision \d+[\s\S]*by load \(worker-1\)/);
    await page.click("button.link", /^history$/);
    await page.says(".history", /#\d+[\s\S]*load \(worker-1\)/);
    expect(page.address).toBe("/runs/finished/environment?key=made");
  });

  it("shows values as text, whatever they hold", async () => {
    const page = await open("/runs/finished/environment");
    await page.says(".env-entry", /<script>document.title='owned'<\/script>/);
    expect(await page.value("document.title")).toBe("finished, environment · DataHammer");
    expect(await page.value(`document.querySelectorAll("#app img, #app script").length`)).toBe(0);
  });

  it("that there is none says so, with what to do", async () => {
    const page = await open("/runs");
    await page.value(
      `(history.pushState(null, "", "/runs/nobody"), dispatchEvent(new PopStateEvent("popstate")))`,
    );
    await page.says(".note", /there is no run "nobody"/);
    // The browser itself notes the refused request.
    page.complaints.splice(0);
  });
});

describe("acting", () => {
  it("a step that waits for approval is approved here, after a question", async () => {
    const step = { id: "ship", agent: "worker", task: "work", approval: true };
    await stage.client.submit({ run: "approve", workflow: { steps: [step] } });
    const page = await open("/runs/approve");
    await page.click(".wait-line button", /^Approve$/);
    await page.says("dialog[open] h2", /Approve ship\?/);
    await page.click("dialog[open] button", /Leave it/);
    await page.until(`document.querySelector("dialog[open]") === null`);
    await page.click(".wait-line button", /^Approve$/);
    await page.click("dialog[open] button.strong", /Approve/);
    await page.says(".run-facts", /done/);
    await page.slide(0);
    await page.says(".wait-line", /ship waited for approval/);
    expect(await page.value(`document.querySelectorAll(".wait-line button").length`)).toBe(0);
  });

  it("a question is asked at once after another one was left", async () => {
    const page = await open("/runs/finished");
    await page.click(".run-head button", /^Run again$/);
    await page.element("dialog[open]");
    // Closed and asked again in one task: the event of the closing comes after both.
    await page.value(`(() => {
      [...document.querySelectorAll("dialog button")].find((e) => e.innerText === "Leave it").click();
      return new Promise((resolve) => {
        const dialog = document.querySelector("dialog");
        new MutationObserver((_, observer) => {
          if (dialog.open) return;
          observer.disconnect();
          [...document.querySelectorAll(".run-head button")].find((e) => e.innerText === "Run again").click();
          dialog.addEventListener("close", () => setTimeout(resolve), { once: true });
        }).observe(dialog, { attributes: true });
      });
    })()`);
    await page.says("dialog[open] h2", /Run finished again\?/);
  });

  it("a run is cancelled, and run again from a step", async () => {
    const steps = [{ id: "first", agent: "worker", task: "work" }, held("cancel", { dependsOn: ["first"] })];
    await stage.client.submit({ run: "cancel", workflow: { steps } });
    await stage.held("cancel");
    const page = await open("/runs/cancel/steps/hold");
    await page.click(".run-head button", /^Cancel$/);
    await page.says("dialog[open]", /cannot be undone/);
    await page.click("dialog[open] button.strong", /Cancel the run/);
    await page.says(".run-facts", /cancelled/);
    stage.open("cancel");
    await page.click(".panel button", /Run again from here/);
    await page.click("dialog[open] button.strong", /Run again from here/);
    await page.until(`location.pathname !== "/runs/cancel/steps/hold"`);
    await page.says(".run-note", /takes over 1 result of cancel, from hold/);
    await page.says(".run-facts", /done/);
  });
});

describe("five thousand steps", () => {
  beforeAll(async () => {
    const steps = [{ id: "root", agent: "worker", task: "work", dependsOn: [] as string[], when: "true" }];
    for (let i = 1; i < 5_000; i++) {
      const dependsOn =
        i <= 50 ? ["root"] : [`s${i - 50}`, `s${i - (i % 50 === 1 ? 1 : 51)}`].filter((id) => id !== "s0");
      steps.push({
        id: `s${i}`,
        agent: "worker",
        task: "work",
        dependsOn,
        when: i % 50 === 7 ? "true" : "false",
      });
    }
    await stage.client.submit({ run: "large", workflow: { maxParallel: 64, steps } });
    await stage.client.watch("large", () => {});
  });

  it("open as a graph, and as a list of which only what is in view exists", async () => {
    const page = await open("/runs/large");
    await page.element("canvas[data-drawn=true]");
    await page.until(`(() => {
      const canvas = document.querySelector(".graph canvas");
      // Read from a copy: reading the page's own canvas would slow it down.
      const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
      const context = copy.getContext("2d", { willReadFrequently: true });
      context.drawImage(canvas, 0, 0);
      const { data } = context.getImageData(0, 0, copy.width, copy.height);
      let drawn = 0;
      for (let at = 3; at < data.length; at += 4) if (data[at] > 0) drawn += 1;
      return drawn > 5000;
    })()`);
    await page.click("nav.tabs a", /Steps/);
    await page.until(`document.querySelector("[role=table]").getAttribute("aria-rowcount") === "5001"`);
    expect(await page.value(`document.querySelectorAll(".rows-body .row").length`)).toBeLessThan(80);
    await page.value(`document.querySelector(".rows").scrollTo(0, 1e9)`);
    await page.says(".rows-body", /s4999/);
  });

  it("are searched, and one that is found is reached", async () => {
    const page = await open("/runs/large/list?find=s4242");
    await page.until(`document.querySelectorAll(".rows-body .row").length === 1`);
    await page.click(".rows-body a", /s4242/);
    await page.says(".panel h2", /s4242/);
  });

  it("are taken back and forth by the slider", async () => {
    const page = await open("/runs/large/list?order=changed");
    const moments = await page.value<number>(`(async () => {
      while (document.querySelector("input[type=range]").max === "0") await new Promise(requestAnimationFrame);
      return Number(document.querySelector("input[type=range]").max);
    })()`);
    const tally = `document.querySelector(".run-progress").innerText.trim()`;
    await page.until(`${tally} === "5,000 / 5,000"`);
    await page.slide(0);
    await page.until(`/^\\d{1,2} \\/ 5,000$/.test(${tally})`);
    await page.slide(moments);
    await page.until(`${tally} === "5,000 / 5,000"`);
  });
});

describe("for everybody", () => {
  it("the graph is walked by keyboard, and says where one is", async () => {
    const page = await open("/runs/finished");
    await page.element("canvas[data-drawn=true]");
    await page.page.focus(".graph canvas");
    await page.page.keyboard.press("ArrowRight");
    await page.says("#announcer", /^load, done/);
    await page.page.keyboard.press("ArrowRight");
    await page.says("#announcer", /^(pass|fail), /);
    await page.page.keyboard.press("Enter");
    await page.until(`/^\\/runs\\/finished\\/steps\\/(pass|fail)$/.test(location.pathname)`);
  });

  const VIEWS = [
    "/runs",
    "/agents",
    "/runs/finished",
    "/runs/finished/steps/fail",
    "/runs/finished/list",
    "/runs/finished/environment",
    "/runs/finished/plan",
    "/runs/finished/log",
  ];

  it.each(VIEWS)(
    "%s fits a phone, names all that can be used, and can be read in both colours",
    async (view) => {
      const page = await open(view, { width: 360, height: 740, still: true });
      await page.until(
        `document.querySelector(".pill, .agent") !== null && !/Reading/.test(document.querySelector("main").innerText)`,
      );
      expect(await page.value("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
      const nameless = await page.value<
        string[]
      >(`[...document.querySelectorAll("a, button, input, select, textarea, canvas, [role=img], [role=table], progress")]
      .filter((e) => e.checkVisibility() && !(e.innerText?.trim() || e.getAttribute("aria-label") || e.labels?.length || e.closest("[aria-hidden=true]")))
      .map((e) => e.outerHTML.slice(0, 120))`);
      expect(nameless).toEqual([]);
      expect(
        await page.value(
          `[document.querySelectorAll("h1").length, document.querySelectorAll("main").length, document.documentElement.lang]`,
        ),
      ).toEqual([1, 1, "en"]);
      for (const scheme of ["light", "dark"]) {
        await page.page.emulateMediaFeatures([
          { name: "prefers-color-scheme", value: scheme },
          { name: "prefers-reduced-motion", value: "reduce" },
        ]);
        expect(await page.value(FAINT_TEXT)).toEqual([]);
      }
    },
  );

  it("has a title of its own in each view, and the Tab key begins at its top", async () => {
    const page = await open("/runs/finished/time");
    await page.element("main[data-live=true]");
    expect(await page.value("document.title")).toBe("finished, time · DataHammer");
    await page.page.keyboard.press("Tab");
    expect(await page.value("document.activeElement.innerText")).toBe("To the content");
    await page.click(".tabs a", /^Steps$/);
    await page.click(".rows-body a", /^fail$/);
    await page.until(`document.title === "fail of finished · DataHammer"`);
    await page.click("header a", /^Agents$/);
    await page.until(`document.title === "Agents · DataHammer"`);
  });

  it("the chosen colours stay chosen", async () => {
    const page = await open("/runs", { scheme: "light" });
    const ground = `getComputedStyle(document.documentElement).backgroundColor`;
    const light = await page.value(ground);
    await page.click("button.theme", /Light$/);
    await page.click("button.theme", /Dark$/);
    await page.until(`${ground} !== ${JSON.stringify(light)}`);
    const again = await open("/agents", { scheme: "light" });
    expect(await again.value(ground)).not.toBe(light);
    await again.value("localStorage.clear()");
  });
});

/** Texts whose contrast with what is behind them is below 4.5 to 1, as WCAG 2 counts it. */
const FAINT_TEXT = `(() => {
  const parse = (color) => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] > 250) return color;
    }
    return parse(getComputedStyle(document.documentElement).backgroundColor);
  };
  const faint = [];
  for (const element of document.querySelectorAll("main *, header *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== "");
    if (!own || element.closest(".unseen, svg, [disabled], .gone") || !element.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) faint.push(element.className + ": " + element.textContent.slice(0, 40) + " " + contrast.toFixed(2));
  }
  return faint;
})()`;

describe("a daemon with a token", () => {
  it("is opened by giving it once", async () => {
    const guarded = await openHttpStage({ httpToken: "s3cret" });
    try {
      const page = await DrivenPage.open(browser, guarded.url, "/runs");
      await page.page.type("input[type=password]", "wrong");
      await page.click("button", /^Open$/);
      await page.says("[role=alert]", /not the daemon's token/);
      await page.page.$eval("input[type=password]", (input) => input.select());
      await page.page.type("input[type=password]", "s3cret");
      await page.click("button", /^Open$/);
      await page.says("main", /No runs yet/);
      await page.close();
    } finally {
      await guarded.stop();
    }
  });
});
