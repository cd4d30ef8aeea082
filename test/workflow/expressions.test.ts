// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts with ${…} are what workflows are made of.
/**
 * Catches a condition that misjudges data from JSON (where every number is a double), a template that loses
 * a type or a character, an error that does not say which key is missing, and an evaluation that copies the
 * environment.
 */
import { describe, expect, it } from "vitest";
import { compileExpression, EXPRESSION_CACHE_SIZE } from "../../src/workflow/cel.ts";
import {
  ExpressionError,
  type ExpressionScope,
  evaluateCondition,
  evaluateExpression,
  resolveTemplate,
} from "../../src/workflow/expressions.ts";
import { splitTemplate } from "../../src/workflow/template.ts";

const scope = (env: Record<string, unknown>, rest: Partial<ExpressionScope> = {}): ExpressionScope => ({
  inputs: {},
  env,
  steps: {},
  ...rest,
});

const DATA = {
  n: 3,
  f: 3.5,
  list: [1, 2, 3],
  mixed: [1, "a", null],
  text: "hello",
  o: { a: { b: 1 } },
  nothing: null,
  yes: true,
};

function failureOf(action: () => unknown): ExpressionError {
  try {
    action();
  } catch (error) {
    if (error instanceof ExpressionError) return error;
    throw error;
  }
  throw new Error("expected an ExpressionError");
}

describe("numbers from JSON and numbers in expressions", () => {
  it.each([
    ["env.n > 0", true],
    ["env.f > 3", true],
    ["env.n == 3", true],
    ["3 == env.n", true],
    ["env.n != 3", false],
    ["env.f == 3", false],
    ["env.n >= 3 && env.n <= 3.0", true],
    ["env.n in [1, 2, 3]", true],
    ["2 in env.list", true],
    ["env.list == [1, 2, 3]", true],
    ["env.o == {'a': {'b': 1}}", true],
    ["size(env.list) == env.n", true],
    ["env.list.size() > 2", true],
    ["env.list.all(x, x > 0)", true],
    ["env.list.exists(x, x == 2)", true],
  ])("they compare: %s", (source, expected) => {
    expect(evaluateCondition(source, scope(DATA))).toBe(expected);
  });

  it.each([
    ["env.n + 1", 4],
    ["1 + env.n", 4],
    ["env.f * 2", 7],
    ["env.n - 5", -2],
    ["env.n / 2", 1.5],
    ["env.n % 2", 1],
    ["7 % env.n", 1],
    ["env.n % env.n", 0],
    ["-env.n", -3],
    ["env.o.a.b + 1", 2],
    ["size(env.list) * 10", 30],
    ["size(env.list) + env.n", 6],
    ["7 / 2", 3],
    ["int(env.f)", 3],
    ["env.list[0]", 1],
    ["env.list[env.list[0]]", 2],
    ["env.text.substring(env.list[0])", "ello"],
    ["env.text.substring(env.list[0], env.n)", "el"],
    ["env.list.map(x, x * 2)", [2, 4, 6]],
    ["env.list.filter(x, x > 1)", [2, 3]],
    ["env.list + [4]", [1, 2, 3, 4]],
    ["env.yes ? env.n : 0", 3],
    ["env.?missing.orValue(7)", 7],
    ["env.?missing", null],
    ["env.?n", 3],
    ["{'a': 1, 'b': [size(env.list)], 'c': 'x'}", { a: 1, b: [3], c: "x" }],
    ["[1, 'a', null, 2.5]", [1, "a", null, 2.5]],
    ["5u", 5],
    ["duration('90s')", "90s"],
    ["timestamp('2024-05-06T07:08:09Z')", "2024-05-06T07:08:09.000Z"],
    ["'n is ' + string(env.n)", "n is 3"],
  ])("they compute, to plain data: %s", (source, expected) => {
    expect(evaluateExpression(source, scope(DATA))).toEqual(expected);
  });

  it("a whole number that JSON cannot carry exactly is an error, not a wrong number", () => {
    expect(evaluateExpression("9007199254740991", scope({}))).toBe(Number.MAX_SAFE_INTEGER);
    expect(failureOf(() => evaluateExpression("9007199254740993", scope({}))).remedy).toContain("string(");
  });
});

describe("what goes wrong is said", () => {
  it("a missing key is named, with what is there and how to guard against it", () => {
    const error = failureOf(() => evaluateExpression("env.rows > 1", scope({ row: 1, column: 2 })));
    expect(error.code).toBe("E_EXPRESSION");
    expect(error.message).toContain('env has no "rows"; it holds row, column');
    expect(error.remedy).toContain("has(env.rows)");
  });

  it("a missing input is to be given on the command line", () => {
    const error = failureOf(() => evaluateExpression("inputs.path", scope({})));
    expect(error.remedy).toContain("--input path=…");
  });

  it("reading a part of what a skipped step left null says so", () => {
    const error = failureOf(() => evaluateExpression("env.clean.rows", scope({ clean: null })));
    expect(error.message).toContain("env.clean is null or lacks it");
    expect(error.remedy).toContain("env.clean != null");
  });

  it("a part that is missing inside a macro is named by the macro's variable", () => {
    const error = failureOf(() => evaluateExpression("env.l.map(x, x.q)", scope({ l: [{ p: 1 }] })));
    expect(error.message).toContain("there is no x.q");
  });

  it("a condition that is neither true nor false is an error: there is no truthiness", () => {
    for (const [source, text] of [
      ["env.n", "3"],
      ["env.nothing", "null"],
      ["env.list", "a list"],
      ["env.text", "text"],
    ] as const) {
      expect(failureOf(() => evaluateCondition(source, scope(DATA))).message).toContain(`gives ${text}`);
    }
  });

  it("an index beyond a list's end gives the list's size", () => {
    const error = failureOf(() => evaluateExpression("env.list[3]", scope(DATA)));
    expect(error.message).toContain("index 3 >= size 3");
    expect(error.remedy).toContain("size(");
  });

  it("types that do not go together are named as the data's types", () => {
    const error = failureOf(() => evaluateExpression("env.nothing > 1", scope(DATA)));
    expect(error.message).toContain("null > int");
    expect(error.remedy).toContain("!= null");
  });

  it("a syntax error gives its place", () => {
    expect(failureOf(() => evaluateExpression("env.n >", scope({}))).message).toMatch(
      /Cannot compile .* character \d/,
    );
  });

  it("a name that no scope has is refused with the names there are", () => {
    expect(failureOf(() => evaluateExpression("process.exit()", scope({}))).remedy).toContain(
      "inputs, env and steps",
    );
  });
});

describe("safety", () => {
  it("keys that JavaScript treats specially are only keys", () => {
    const env: Record<string, unknown> = Object.create(null);
    for (const key of ["__proto__", "constructor", "toString"]) env[key] = { value: key };
    for (const key of ["__proto__", "constructor", "toString"]) {
      expect(evaluateExpression(`env["${key}"].value`, scope(env))).toBe(key);
      expect(evaluateCondition(`has(env.toString) && "${key}" in env`, scope(env))).toBe(true);
    }
    expect(evaluateExpression("env.?n", scope(env))).toBe(null);
  });

  it("data with a key named constructor, and binary data, is passed on whole and looked into by path", () => {
    const races = [{ constructor: "Ferrari", points: 25 }];
    const bytes = Buffer.from("binary");
    const data = scope({ races, table: { constructor: "text" }, bytes });
    expect(resolveTemplate("${env.races}", data)).toBe(races);
    expect(resolveTemplate("${env.races[0].constructor}", data)).toBe("Ferrari");
    expect(resolveTemplate("${env.table}", data)).toBe(data.env.table);
    expect(resolveTemplate("${env.bytes}", data)).toBe(bytes);
    expect(failureOf(() => evaluateExpression("env.races.map(r, r.points)", data)).remedy).toContain(
      "constructor",
    );
  });

  it("what objects inherit is not there", () => {
    for (const source of ["env.toString", "env.constructor", 'env["__proto__"]', "env.o.constructor"]) {
      failureOf(() => evaluateExpression(source, scope({ o: {} })));
    }
    expect(evaluateCondition("has(env.constructor)", scope({}))).toBe(false);
  });

  it("a template with a key named __proto__ gives an object with that key and pollutes nothing", () => {
    const template = JSON.parse('{"__proto__": {"polluted": "${env.n}"}}');
    const result = resolveTemplate(template, scope({ n: 1 })) as object;
    expect(Object.keys(result)).toEqual(["__proto__"]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("cost", () => {
  /** A record that counts how often it is looked at. */
  const counted = (target: Record<string, unknown>) => {
    let looks = 0;
    const proxy = new Proxy(target, {
      get(object, key) {
        looks++;
        return Reflect.get(object, key);
      },
      getOwnPropertyDescriptor(object, key) {
        looks++;
        return Reflect.getOwnPropertyDescriptor(object, key);
      },
      ownKeys(object) {
        looks += Reflect.ownKeys(object).length;
        return Reflect.ownKeys(object);
      },
    });
    return { proxy, looks: () => looks };
  };
  const wide = (size: number) => Object.fromEntries(Array.from({ length: size }, (_, i) => [`k${i}`, i]));

  it.each(["env.k1 > 0", "env.k1 + 1", "has(env.k1) && env.k1 in [1]", "env['k1']", "env.?k1.orValue(0)"])(
    "an evaluation looks at what it names, however large the environment is: %s",
    (source) => {
      const looksAt = (size: number) => {
        const env = counted(wide(size));
        evaluateExpression(source, scope(env.proxy));
        return env.looks();
      };
      expect(looksAt(10_000)).toBe(looksAt(10));
    },
  );

  it("a value that is only passed on is not looked through", () => {
    const big = counted(wide(10_000));
    const result = resolveTemplate({ data: "${env.big}" }, scope({ big: big.proxy })) as { data: unknown };
    expect(result.data).toBe(big.proxy);
    expect(big.looks()).toBeLessThan(20);
  });

  it("an expression is compiled once while it is cached, and the cache is bounded", () => {
    const first = compileExpression("1 + 1");
    expect(compileExpression("1 + 1")).toBe(first);
    for (let i = 0; i < EXPRESSION_CACHE_SIZE; i++) compileExpression(`${i} + 2`);
    expect(compileExpression("1 + 1")).not.toBe(first);
  });
});

describe("templates", () => {
  const resolve = (template: unknown) =>
    resolveTemplate(template, scope(DATA, { inputs: { path: "a.csv" } }));

  it.each([
    ["${env.n}", 3],
    ["${ env.list }", [1, 2, 3]],
    ["${env.nothing}", null],
    ["${env.yes}", true],
  ])("an expression alone keeps its type: %s", (template, expected) => {
    expect(resolve(template)).toEqual(expected);
  });

  it.each([
    ["n=${env.n}", "n=3"],
    ["${env.n}${env.n}", "33"],
    [" ${env.n}", " 3"],
    ["${env.text}, ${inputs.path}!", "hello, a.csv!"],
    ["nothing: ${env.nothing}.", "nothing: ."],
    ["list: ${env.list}", "list: [1,2,3]"],
    ["plain", "plain"],
    ["costs $5 {not} }", "costs $5 {not} }"],
    ["$${env.n}", "${env.n}"],
    ["$${a} and ${env.n}", "${a} and 3"],
    ["$$${env.n}", "$${env.n}"],
    ["${'}'}${'a\\'}b'}", "}a'}b"],
    ["x${{'a': {'b': 1}}['a']['b']}", "x1"],
    ['${"""a "}" b"""}!', 'a "}" b!'],
    ["${r'\\d}'}!", "\\d}!"],
  ])("otherwise the value goes into the text: %s", (template, expected) => {
    expect(resolve(template)).toBe(expected);
  });

  it("lists and maps are resolved to their depth; other values and keys are left alone", () => {
    expect(resolve({ "${k}": [{ x: "${env.n}" }, 1, null, true] })).toEqual({
      "${k}": [{ x: 3 }, 1, null, true],
    });
  });

  it("64-bit integers, which MessagePack can carry, go into a text too", () => {
    expect(resolveTemplate("${env.a}, ${env.b}", scope({ a: 12n, b: { c: 3n } }))).toBe('12, {"c":3}');
  });

  it("an expression that is never closed is an error with both ways out", () => {
    expect(failureOf(() => splitTemplate("a ${env.n")).remedy).toContain("$${");
    expect(failureOf(() => splitTemplate("${'}")).message).toContain("not closed");
  });

  it("item and index are there in a fan-out", () => {
    const inner = scope({}, { item: { id: 7 }, index: 2n });
    expect(resolveTemplate({ a: "${item.id}", b: "${index}", c: "${index + 1}" }, inner)).toEqual({
      a: 7,
      b: 2,
      c: 3,
    });
  });

  it("outputs of steps are there, and null where the step was skipped", () => {
    const steps = { "my-step": { outputs: { rows: 5 } }, skipped: { outputs: null } };
    const inner = scope({}, { steps });
    expect(resolveTemplate('${steps["my-step"].outputs.rows}', inner)).toBe(5);
    expect(evaluateCondition("steps.skipped.outputs == null", inner)).toBe(true);
  });
});
