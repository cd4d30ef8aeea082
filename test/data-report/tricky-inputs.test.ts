/**
 * Would catch: a data file that crashes an agent, hangs it, or is misread without a word. Every input is
 * made here; each must give either a right report or one error that says what to do.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../../examples/data-report/analysis/model.ts";
import { inspectData } from "../../examples/data-report/facts.ts";
import type { Cleaning } from "../../examples/data-report/table/cleaning.ts";
import type { Profile } from "../../examples/data-report/table/column.ts";
import { runJob } from "./one-process.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "data-report-tricky-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

async function report(name: string, content: string | Uint8Array, goal = "Report on this data") {
  const path = await file(name, content);
  const out = join(folder, `out-${name.replaceAll(/\W/g, "_")}`);
  const job = await runJob(path, goal, out);
  const read = async <T>(part: string) => JSON.parse(await readFile(join(out, "work", part), "utf8")) as T;
  return {
    job,
    read,
    profile: await read<Profile>("profile.json"),
    page: await readFile(join(out, "report.html"), "utf8"),
  };
}

const lines = (n: number, line: (i: number) => string) =>
  `${Array.from({ length: n }, (_, i) => line(i)).join("\n")}\n`;

describe("a file that is no table is refused with its remedy", () => {
  const binary = Uint8Array.from({ length: 5_000 }, (_, i) => (i * 7_919) % 256);
  const refused: [string, string | Uint8Array, RegExp][] = [
    ["empty.csv", "", /empty \(0 bytes\).*header line/],
    ["blank.csv", "\n \n\n", /nothing but blanks/],
    ["header.csv", "a,b,c\n", /3 columns but no rows/],
    ["binary.csv", binary, /binary file.*export a spreadsheet as CSV/],
    ["broken.json", '[{"a":1},{"a":', /not valid JSON.*array of objects/],
    ["number.json", "42", /does not begin with a list or an object/],
    ["none.json", "[]", /no rows/],
    ["two-lists.json", '{"nodes":[{"a":1}],"links":[{"b":2}]}', /"nodes", "links".*file of its own/],
    [
      "wide.csv",
      `${Array.from({ length: 2_001 }, (_, i) => i).join(",")}\n`.repeat(3),
      /2001 columns; the bound is 2000/,
    ],
    ["fake.parquet", "hello", /no Parquet file/],
    ["cut.parquet", "PAR1 and then nothing", /cannot be read as PARQUET.*complete/],
  ];
  for (const [name, content, message] of refused) {
    it(name, async () => {
      const path = await file(name, content);
      const failure = await inspectData(path).then(
        () => undefined,
        (error: unknown) => error as Error,
      );
      expect(failure?.name).toBe("NonRetryableError");
      expect(failure?.message).toMatch(message);
      expect(failure?.message).toContain(path);
    });
  }

  it("a missing file and a folder", async () => {
    await expect(inspectData(join(folder, "no-such.csv"))).rejects.toThrow(/does not exist. Check the path/);
    await mkdir(join(folder, "sub.csv"));
    await expect(inspectData(join(folder, "sub.csv"))).rejects.toThrow(/is a folder/);
  });
});

describe("a strange table is read as what it is", () => {
  it("names with quotes, SQL, markup and other scripts stay names, in columns and in the file", async () => {
    const header = '"a ""b""","naïve 列","x""; DROP TABLE raw; --","<script>alert(1)</script>","a.b[0]"';
    const { profile, page } = await report(
      `it's; DROP TABLE "t" --.csv`,
      `${header}\n${lines(120, (i) => `${i},${i % 3 ? "<b>u</b>" : "<script>alert(2)</script>"},${(i * 7) % 11},${Math.sin(i)},${i % 7}`)}`,
    );
    expect(profile.rows).toBe(120);
    expect(profile.columns.map((column) => column.name)).toEqual([
      'a "b"',
      "naïve 列",
      'x"; DROP TABLE raw; --',
      "<script>alert(1)</script>",
      "a.b[0]",
    ]);
    expect(page).not.toContain("<script");
    expect(page).not.toContain("<b>u</b>");
  });

  it("repeated names are made unique, and the report says so", async () => {
    const { profile } = await report("names.csv", `a,a,b\n${lines(30, (i) => `${i},${i * 2},${i % 4}`)}`);
    expect(new Set(profile.columns.map((column) => column.name)).size).toBe(3);
    expect(profile.problems.some((problem) => /made unique/.test(problem.sentence))).toBe(true);
  });

  it("lines of different length are padded or counted, never skipped in silence", async () => {
    const { profile } = await report(
      "ragged.csv",
      `a,b,c\n${lines(50, (i) => (i % 10 ? `${i},2,3` : `${i},2`))}`,
    );
    expect(profile.rows).toBe(50);
    expect(profile.columns.at(2)?.missing).toBe(5);
    expect(profile.problems.some((problem) => problem.kind === "reading")).toBe(true);
  });

  it("Latin-1, UTF-16 and a byte-order mark", async () => {
    const latin = await report(
      "latin.csv",
      Buffer.from(`name,v\n${lines(40, (i) => `caf\u00e9${i % 3},${i}`)}`, "latin1"),
    );
    expect(latin.profile.columns[0]?.top[0]?.value).toMatch(/^café/);
    const wide = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from("a,b\n1,x\n2,y\n", "utf16le")]);
    expect((await report("wide.csv", wide)).profile.columns.map((column) => column.name)).toEqual(["a", "b"]);
    expect((await report("bom.csv", "\ufeffa,b\n1,2\n3,4\n")).profile.columns[0]?.name).toBe("a");
  });

  it("one row, one column, empty columns and constants", async () => {
    expect((await report("one-row.csv", "a,b\n1,x\n")).profile.rows).toBe(1);
    expect(
      (await report("one-column.csv", `x\n${lines(100, (i) => String(i * 1.5))}`)).profile.columns[0]?.kind,
    ).toBe("number");
    const { profile, job } = await report("gaps.csv", `a,b,c\n${lines(100, (i) => `${i % 9},,k`)}`);
    expect(profile.columns.map((column) => column.kind)).toEqual(["number", "empty", "constant"]);
    expect(job.steps).toContain("cleaner.clean");
  });

  it("codes with leading zeros stay text, long texts and nested values are kept", async () => {
    const { profile } = await report(
      "nested.json",
      JSON.stringify(
        Array.from({ length: 40 }, (_, i) => ({
          code: `0${500 + i}`,
          deep: { x: i },
          long: "z".repeat(30_000) + i,
        })),
      ),
    );
    expect(profile.columns.map((column) => column.type)).toEqual(["VARCHAR", "VARCHAR", "VARCHAR"]);
    expect(profile.columns[2]?.text?.maxLength).toBeGreaterThan(30_000);
  });
});

describe("cleaning counts what it changes", () => {
  it("words for missing, numbers and dates as text, money, and values that cannot be read", async () => {
    const { read } = await report(
      "dirty.csv",
      `v,money,day,g\n${lines(200, (i) => `${i % 20 === 3 ? "oops" : i},"$1,${100 + i}",${i % 40 === 0 ? "soon" : `2020-03-${String((i % 28) + 1).padStart(2, "0")}`},${i % 50 === 0 ? "N/A" : ["Ab", "ab ", "c"][i % 3]}`)}`,
    );
    const cleaning = await read<Cleaning>("cleaning.json");
    const after = await read<Profile>("table-profile.json");
    const column = (name: string) => after.columns.find((candidate) => candidate.name === name);
    expect([column("v")?.type, column("v")?.missing]).toEqual(["BIGINT", 10]);
    expect([column("day")?.type, column("day")?.missing]).toEqual(["DATE", 5]);
    expect([column("g")?.missing, column("g")?.distinct]).toEqual([4, 2]);
    expect(column("money")?.number?.min).toBe(1100);
    const changed = (problem: string) =>
      cleaning.actions.find((action) => action.problem === problem)?.changed;
    expect(changed("number-as-text")).toBe(190);
    expect(changed("date-as-text")).toBe(195);
    expect(changed("missing-token")).toBe(4);
  });

  it("repeated rows go where a column tells rows apart, and stay where none does", async () => {
    const rows = Array.from({ length: 100 }, (_, i) => `n${i},${i},${i % 3},${i % 5}`);
    const apart = await report(
      "apart.csv",
      `name,x,y,z\n${[...rows, rows[7], rows[7], rows[50]].join("\n")}\n`,
    );
    expect((await apart.read<Cleaning>("cleaning.json")).rowsAfter).toBe(100);
    const alike = await report(
      "alike.csv",
      `a,b,c,d\n${lines(100, (i) => `${i % 2},${i % 3},${i % 2},${i % 5}`)}`,
    );
    expect(alike.job.steps).not.toContain("cleaner.clean");
    expect(alike.profile.problems.some((problem) => problem.kind === "repeated-rows")).toBe(true);
  });
});

describe("the model is honest", () => {
  it("a copy of the target and an id are left out, and noise predicts nothing", async () => {
    let state = 7;
    const noise = () => {
      state = (state * 48_271) % 2_147_483_647;
      return state % 1_000;
    };
    const { read, page } = await report(
      "leak.csv",
      `id,a,b,copy,target\n${lines(400, (i) => {
        const target = noise();
        return `${1000 + i},${noise()},${noise()},${target * 2 + 1},${target}`;
      })}`,
      "predict target",
    );
    const model = await read<Model>("model.json");
    expect(model.leftOut.map((left) => left.column).sort()).toEqual(["copy", "id"]);
    expect(model.features).toEqual(["a", "b"]);
    expect(model.better).toBe(false);
    expect(page).toContain("Not better than guessing.");
  });

  it("a category that follows from two numbers is found", async () => {
    const { read } = await report(
      "classes.csv",
      `x,y,kind\n${lines(300, (i) => {
        const x = (i * 37) % 100;
        const y = (i * 61) % 100;
        return `${x},${y},${x + y > 100 ? "far" : "near"}`;
      })}`,
      "classify the kind",
    );
    const model = await read<Model>("model.json");
    expect(model.kind).toBe("category");
    expect(model.error).toBeLessThan(0.15);
    expect(model.confusion.flat().reduce((sum, n) => sum + n, 0)).toBe(model.heldOutRows);
  });

  it("where nothing is left to predict from, the model says so and nothing is fitted", async () => {
    const csv = `a,b\n${lines(200, (i) => `${(i * 37) % 101},${((i * 37) % 101) * 2}`)}`;
    await expect(report("copy.csv", csv)).rejects.toThrow(/No column is left to predict "b" from: a \(/);
  });
});

describe("a trend over time", () => {
  it("days as whole numbers are dates, in text and in typed columns, and numbers like them are not", async () => {
    const day = (i: number) =>
      new Date(Date.UTC(2020, 0, 1 + 31 * i)).toISOString().slice(0, 10).replaceAll("-", "");
    const csv = `day,order,co2\n${lines(60, (i) => `${day(i)},${20_201_199 + i},${300 + i + (i % 7)}`)}`;
    const rows = Array.from({ length: 60 }, (_, i) => ({
      day: Number(day(i)),
      order: 20_201_199 + i,
      co2: 300 + i + (i % 7),
    }));
    for (const [name, content] of [
      ["days.csv", csv],
      ["days.json", JSON.stringify(rows)],
    ] as const) {
      const { profile, page } = await report(name, content);
      const kinds = Object.fromEntries(profile.columns.map((column) => [column.name, column.kind]));
      expect(kinds).toMatchObject({ day: "date", co2: "number" });
      expect(kinds.order).not.toBe("date");
      expect(page).toMatch(/monthly median of co2 rose between January 2020 and/);
    }
  });

  it("one row a month has a trend", async () => {
    const month = (i: number) => `${2021 + Math.floor(i / 12)}-${String((i % 12) + 1).padStart(2, "0")}-01`;
    const { page } = await report(
      "monthly.csv",
      `month,sales\n${lines(30, (i) => `${month(i)},${100 + 3 * i + (i % 5)}`)}`,
    );
    expect(page).toContain("Over time");
    expect(page).toMatch(/monthly median of sales rose between January 2021 and June 2023/);
  });
});
