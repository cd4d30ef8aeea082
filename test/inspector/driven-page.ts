/** One page of the inspector, driven: opened at an address, waited for by what it says, listened to. */
import type { Browser, Page } from "puppeteer-core";

const PATIENCE_MS = 30_000;
const POLLING_MS = 30;

export interface PageOptions {
  width?: number;
  height?: number;
  scheme?: "light" | "dark";
  /** Nothing moves: colours are at once what they will be. */
  still?: boolean;
}

export class DrivenPage {
  readonly page: Page;
  /** Errors, warnings, and requests to elsewhere: what must not happen. */
  readonly complaints: string[] = [];
  readonly #origin: string;

  private constructor(page: Page, origin: string) {
    this.page = page;
    this.#origin = origin;
    page.on("console", (message) => {
      if (message.type() !== "log") this.complaints.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(origin)) this.complaints.push(`asked ${request.url()}`);
    });
  }

  static async open(
    browser: Browser,
    origin: string,
    path: string,
    options: PageOptions = {},
  ): Promise<DrivenPage> {
    const { width = 1_280, height = 800, scheme = "light", still = false } = options;
    const page = await browser.newPage();
    // The page before may still be closing: what is not in front draws no frames and hears no keys.
    await page.bringToFront();
    await page.emulateFocusedPage(true);
    await page.setViewport({ width, height });
    await page.emulateMediaFeatures([
      { name: "prefers-color-scheme", value: scheme },
      { name: "prefers-reduced-motion", value: still ? "reduce" : "no-preference" },
    ]);
    const driven = new DrivenPage(page, origin);
    await page.goto(`${origin}${path}`);
    await driven.element("h1");
    return driven;
  }

  get address(): string {
    return this.page.url().slice(this.#origin.length);
  }

  async element(selector: string): Promise<void> {
    await this.page.waitForSelector(selector, { timeout: PATIENCE_MS });
  }

  /** Until the text of the element is as wished. */
  async says(selector: string, wished: RegExp): Promise<void> {
    await this.until(
      `${wished}.test([...document.querySelectorAll(${JSON.stringify(selector)})].map((e) => e.innerText).join(" | "))`,
    );
  }

  /** Until an expression of the page is true. */
  async until(expression: string): Promise<void> {
    try {
      // By the clock and not by frames, so that a page that draws none is told from one that is wrong.
      await this.page.waitForFunction(expression, { timeout: PATIENCE_MS, polling: POLLING_MS });
    } catch (cause) {
      const text = await this.page.evaluate<[], () => string>("document.body.innerText" as never);
      throw new Error(
        `never came true: ${expression}\n--- the page\n${text}\n--- complaints\n${this.complaints}`,
        { cause },
      );
    }
  }

  async value<Value>(expression: string): Promise<Value> {
    return (await this.page.evaluate(expression)) as Value;
  }

  /** Clicks the first element of the selector with this text. */
  async click(selector: string, text: RegExp): Promise<void> {
    const find = `[...document.querySelectorAll(${JSON.stringify(selector)})].find((e) => ${text}.test(e.innerText || e.getAttribute("aria-label")))`;
    await this.until(`${find} !== undefined`);
    await this.page.evaluate(`${find}.click()`);
  }

  /** Sets the slider over the log, as a person who drags it does. */
  async slide(moment: number): Promise<void> {
    await this.page.evaluate(`{
      const slider = document.querySelector("input[type=range]");
      slider.value = ${moment};
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }`);
  }

  async close(): Promise<void> {
    await this.page.close();
  }
}
