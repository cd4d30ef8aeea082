/** Catches test support that leans on what only some machines have. */
import { afterEach, describe, expect, it } from "vitest";
import { launchBrowser } from "../support/browser.ts";

let browser: Awaited<ReturnType<typeof launchBrowser>> | undefined;
afterEach(async () => {
  await browser?.close();
  browser = undefined;
});

describe("the tests' browser", () => {
  it("runs a page's script and draws its text, on a system without a browser", async () => {
    const environment = { ...process.env };
    browser = await launchBrowser();
    expect(process.env).toEqual(environment);
    const page = await browser.newPage();
    await page.setContent(
      "<p style='font-size:40px;display:inline' id=p>wide</p><script>p.title = 6 * 7</script>",
    );
    const seen = await page.$eval(
      "#p",
      (p) => [p.getAttribute("title"), p.getBoundingClientRect().width] as const,
    );
    expect(seen[0]).toBe("42");
    // Without fonts there are no glyphs and so no width.
    expect(seen[1]).toBeGreaterThan(40);
  });
});
