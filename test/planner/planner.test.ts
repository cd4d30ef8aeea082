/**
 * Would catch: guards and costs that do not shape the plan, optional keys that close a circle, goals that are
 * guessed at, errors without a way out, and a re-plan that throws away what is done.
 */
import { describe, expect, it } from "vitest";
import { parseCapabilities } from "../../src/planner/capabilities-file.ts";
import { type PlanOptions, WorkflowPlanner } from "../../src/planner/planner.ts";
import type { Capability, RoleCard } from "../../src/workflow/capability.ts";
import { DataHammerError } from "../../src/workflow/errors.ts";

type Task = Partial<Capability> & { name: string };
const role = (name: string, ...tasks: Task[]): RoleCard => ({
  role: name,
  tasks: tasks.map((task) => ({ needs: [], gives: [], ...task })),
});

const REPORTING: RoleCard[] = [
  role("loader", {
    name: "load",
    description: "Load a data file",
    needs: ["path"],
    gives: ["dataset"],
    synonyms: ["read"],
  }),
  role("explorer", {
    name: "profile",
    description: "Profile every column",
    needs: ["dataset"],
    gives: ["profile"],
    synonyms: ["describe"],
  }),
  role("cleaner", {
    name: "clean",
    description: "Repair values",
    needs: ["dataset", "profile"],
    gives: ["table"],
    when: "env.profile.nulls > 0",
  }),
  role("analyst", {
    name: "analyse",
    description: "Find relations",
    needs: ["table"],
    gives: ["findings"],
    synonyms: ["understand", "insights", "why"],
  }),
  role("modeler", {
    name: "model",
    description: "Fit a model",
    needs: ["table", "findings"],
    gives: ["model"],
    synonyms: ["predict", "forecast"],
  }),
  role("visualizer", {
    name: "charts",
    description: "Draw plots",
    needs: ["table", "findings"],
    gives: ["charts"],
    synonyms: ["plot"],
  }),
  role(
    "reporter",
    {
      name: "report",
      description: "Write the report",
      needs: ["findings", "charts", "model"],
      uses: ["profile"],
      gives: ["report"],
      synonyms: ["document"],
    },
    {
      name: "profile-report",
      description: "A short report of the profile",
      needs: ["profile"],
      gives: ["profile-report"],
      synonyms: ["data quality report"],
    },
  ),
];

const make = (
  capabilities: RoleCard[],
  want: string[],
  environment: Record<string, unknown> = {},
  options: PlanOptions = {},
) => new WorkflowPlanner({ capabilities }).createWorkflow(undefined, environment, { ...options, want });
const goal = (text: string, capabilities = REPORTING) =>
  new WorkflowPlanner({ capabilities }).createWorkflow(text, { path: "movies.json" });
function failure(act: () => unknown): DataHammerError {
  try {
    act();
  } catch (error) {
    if (error instanceof DataHammerError) return error;
    throw error;
  }
  throw new Error("it was expected to fail");
}

describe("a guard", () => {
  const tasks = [
    role(
      "r",
      { name: "fix", gives: ["fixed"], when: "env.nulls > 0", cost: 1 },
      { name: "copy", gives: ["fixed"], cost: 5 },
    ),
  ];

  it("that is false here keeps its task out, and the plan says which expression it was", () => {
    const plan = make(tasks, ["fixed"], { nulls: 0 });
    expect(plan.workflow.steps.map(({ task }) => task)).toEqual(["copy"]);
    expect(plan.rejected).toEqual([
      { role: "r", task: "fix", reason: "its guard `env.nulls > 0` is false here" },
    ]);
  });

  it("that holds here is decided: the step is not checked again", () => {
    const [step] = make(tasks, ["fixed"], { nulls: 3 }).workflow.steps;
    expect(step).toMatchObject({ task: "fix" });
    expect(step).not.toHaveProperty("when");
  });

  it("that fails is a reason against its task, with the error's text", () => {
    const [rejection] = make(tasks, ["fixed"]).rejected;
    expect(rejection?.reason).toContain('env has no "nulls"');
  });

  it("on a key that a step writes waits for that step and is checked at run time", () => {
    const { steps } = make(REPORTING, ["table"], { path: "x" }).workflow;
    expect(steps.map(({ id }) => id)).toEqual(["load", "profile", "clean"]);
    expect(steps[2]).toMatchObject({ when: "env.profile.nulls > 0", dependsOn: ["profile"] });
  });
});

describe("a cost", () => {
  it.each([
    ["-1", "is -1"],
    ["0.0 / 0.0", "is NaN"],
    ["1.0 / 0.0", "is Infinity"],
    ["'cheap'", 'is "cheap"'],
    ["env.nothing", 'env has no "nothing"'],
  ])("of `%s` sets the task aside", (cost, reason) => {
    const plan = make(
      [role("r", { name: "odd", gives: ["x"], cost }, { name: "even", gives: ["x"], cost: 9 })],
      ["x"],
    );
    expect(plan.workflow.steps.map(({ task }) => task)).toEqual(["even"]);
    expect(plan.rejected[0]?.reason).toContain(reason);
  });

  it("over the environment decides between two ways", () => {
    const ways = [
      role(
        "r",
        { name: "exact", gives: ["x"], cost: "env.rows / 1000" },
        { name: "sample", gives: ["x"], cost: 10 },
      ),
    ];
    expect(make(ways, ["x"], { rows: 500 }).workflow.steps[0]?.task).toBe("exact");
    expect(make(ways, ["x"], { rows: 5_000_000 }).workflow.steps[0]?.task).toBe("sample");
  });

  it("that cannot be known yet is the capability's estimate", () => {
    const tasks = [
      role(
        "r",
        { name: "count", gives: ["rows"] },
        { name: "fit", needs: ["rows"], gives: ["x"], cost: "env.rows", estimate: 7 },
      ),
    ];
    expect(make(tasks, ["x"]).cost).toBe(8);
  });
});

describe("an optional key", () => {
  it("is taken from a step that is in the plan anyway, and the step waits for it", () => {
    const report = make(REPORTING, ["report"], { path: "x" }).workflow.steps.at(-1);
    expect(report?.inputs).toHaveProperty("profile", "${env.profile}");
  });

  it("brings no step into the plan", () => {
    const tasks = [role("r", { name: "a", gives: ["a"] }, { name: "b", gives: ["b"], uses: ["a"] })];
    expect(make(tasks, ["b"]).workflow.steps).toHaveLength(1);
  });

  it("is left out where it would close a circle", () => {
    const tasks = [
      role("r", { name: "a", gives: ["a"], uses: ["b"] }, { name: "b", gives: ["b"], uses: ["a"] }),
    ];
    const { steps } = make(tasks, ["a", "b"]).workflow;
    expect(steps.filter(({ dependsOn }) => dependsOn !== undefined)).toHaveLength(1);
  });
});

describe("a step", () => {
  it("reads a need from the inputs when no task gives it", () => {
    const plan = make(REPORTING, ["dataset"], {}, { inputs: { path: "x.csv" } });
    expect(plan.workflow.steps[0]?.inputs).toEqual({ path: "${inputs.path}" });
  });

  it("is named by its role too when two do a task of the same name", () => {
    const tasks = [role("one", { name: "make", gives: ["a"] }), role("two", { name: "make", gives: ["b"] })];
    expect(make(tasks, ["a", "b"]).workflow.steps.map(({ id }) => id)).toEqual(["one-make", "two-make"]);
  });

  it("declares a key that another step brings only once, and the steps behind follow that one", () => {
    const tasks = [
      role("r", { name: "first", gives: ["a", "b"] }, { name: "second", needs: ["a"], gives: ["b", "c"] }),
    ];
    const { steps } = make(tasks, ["b", "c"]).workflow;
    expect(steps.map(({ outputs }) => outputs)).toEqual([["a", "b"], ["c"]]);
  });

  it("says what it is there for", () => {
    const plan = make(REPORTING, ["profile"], { path: "x" });
    expect(plan.reasons).toEqual({
      load: "Gives dataset to profile.",
      profile: "Gives profile, which is wanted.",
    });
  });
});

describe("a goal that cannot be reached", () => {
  it("names the missing key and what comes nearest to it", () => {
    const error = failure(() => make(REPORTING, ["reprot"], { path: "x" }));
    expect(error).toMatchObject({ code: "E_NO_PLAN", data: { missing: ["reprot"] } });
    expect(error.data.nearest).toMatchObject([{ role: "reporter", task: "report" }, {}, {}]);
  });

  it("names the key at the bottom of it, not the goal on top", () => {
    expect(failure(() => make(REPORTING, ["report"])).data.missing).toEqual(["path"]);
  });

  it("names the guard that stands in the way", () => {
    const error = failure(() => make(REPORTING, ["table"], { path: "x", profile: { nulls: 0 } }));
    expect(error.message).toContain(
      "cleaner.clean would, but its guard `env.profile.nulls > 0` is false here",
    );
    expect(error.data.blockedBy).toHaveLength(1);
  });

  it("is refused when the tasks only wait for each other", () => {
    const circle = [
      role("r", { name: "a", needs: ["b"], gives: ["a"] }, { name: "b", needs: ["a"], gives: ["b"] }),
    ];
    const error = failure(() => make(circle, ["a"]));
    expect(error.data).toMatchObject({ missing: ["b"], smallest: true });
    expect(error.message).toContain("Nothing that can run gives b, which a rests on");
  });

  it("is refused when the only task that gives the key needs it first", () => {
    expect(failure(() => make([role("r", { name: "again", needs: ["a"], gives: ["a"] })], ["a"])).code).toBe(
      "E_NO_PLAN",
    );
  });

  it("is told apart from one that is reached already", () => {
    expect(failure(() => make(REPORTING, ["report"], { report: "there" })).code).toBe("E_NOTHING_TO_DO");
  });
});

describe("a goal in words", () => {
  it.each([
    ["Understand what makes a movie successful and write a report", ["report"]],
    ["write a report", ["report"]],
    ["report", ["report"]],
    ["profile it and write a report", ["report"]],
    ["only profile it", ["profile-report"]],
    ["profiling only, no charts", ["profile-report"]],
    ["a data quality report, nothing else", ["profile-report"]],
    ["Why do flights arrive late?", ["findings"]],
    ["draw plots and predict the gross", ["charts", "model"]],
    ["forecast the sales", ["model"]],
  ])("“%s” asks for %j", (text, want) => {
    expect(goal(text).want).toEqual(want);
  });

  it("that limits itself makes a plan of three steps, not seven", () => {
    expect(goal("only profile it").workflow.steps.map(({ id }) => id)).toEqual([
      "load",
      "profile",
      "profile-report",
    ]);
    expect(goal("Understand what makes a movie successful and write a report").workflow.steps).toHaveLength(
      7,
    );
  });

  it.each(["make me a sandwich", "xyzzy", "without charts"])(
    "“%s” is refused with the candidates, not guessed",
    (text) => {
      const error = failure(() => goal(text));
      expect(error.code).toBe("E_GOAL_UNCLEAR");
      expect(error.data.candidates).not.toEqual([]);
    },
  );

  it("that fits two tasks equally is refused", () => {
    const twins = [
      role("a", { name: "html", gives: ["html"], synonyms: ["page"] }),
      role("b", { name: "pdf", gives: ["pdf"], synonyms: ["page"] }),
    ];
    expect(failure(() => goal("a page", twins)).code).toBe("E_GOAL_UNCLEAR");
  });

  it("may rule a task out", () => {
    const error = failure(() => goal("write a report without charts"));
    expect(error.message).toContain("visualizer.charts would, but the goal rules it out (“without charts”)");
  });

  it("that says nothing is invalid input", () => {
    expect(failure(() => goal("  ")).code).toBe("E_INPUT");
  });
});

describe("an update", () => {
  const planner = new WorkflowPlanner({
    capabilities: [
      ...REPORTING,
      role("cleaner", { name: "keep", needs: ["dataset"], gives: ["table"], cost: 3 }),
    ],
  });
  const { workflow } = planner.createWorkflow(undefined, { path: "x" }, { want: ["findings"] });

  it("keeps what is done, and goes another way where a guard is known to be false now", () => {
    const facts = { path: "x", dataset: 1, profile: { nulls: 0 } };
    const updated = planner.updateWorkflow(workflow, facts).workflow;
    expect(workflow.steps.map(({ id }) => id)).toEqual(["load", "profile", "clean", "analyse"]);
    expect(updated.steps.map(({ id }) => id)).toEqual(["load", "profile", "keep", "analyse"]);
    expect(updated.steps[2]).toMatchObject({ dependsOn: ["load"] });
    expect(updated.outputs).toEqual(workflow.outputs);
  });

  it("counts on what is running", () => {
    const plan = planner.updateWorkflow(workflow, { path: "x" }, { running: ["load"] });
    expect(plan.workflow.steps.map(({ id }) => id)).toEqual(["load", "profile", "clean", "analyse"]);
    expect(plan.workflow.steps[1]).toMatchObject({ dependsOn: ["load"] });
  });

  it("of a step that is not there is refused", () => {
    expect(failure(() => planner.updateWorkflow(workflow, {}, { done: ["lode"] })).code).toBe("E_NO_STEP");
  });
});

describe("a recovery", () => {
  const planner = new WorkflowPlanner({
    capabilities: [
      role("a", { name: "draw", needs: ["t"], gives: ["x"] }),
      role("b", { name: "sketch", needs: ["t"], gives: ["x"], cost: 2 }),
    ],
  });

  it("is another task that gives the same keys from what is there", () => {
    const step = { agent: "a", task: "draw", outputs: ["x"] };
    expect(planner.recover({ step, environment: { t: 1 } })).toMatchObject({
      role: "b",
      task: "sketch",
      inputs: { t: "${env.t}" },
    });
    expect(planner.recover({ step, environment: {} })).toBeUndefined();
    expect(
      planner.recover({ step, environment: { t: 1 }, failed: [{ role: "b", task: "sketch" }] }),
    ).toBeUndefined();
  });
});

describe("many capabilities", () => {
  /** Lines of work over one source, in groups of five that share by-products; each has a dearer short cut. */
  const sibling = (i: number, by: number): number => i - (i % 5) + ((i + by) % 5);
  const lines = (count: number): RoleCard[] => [
    role("source", { name: "read", gives: ["raw"] }),
    ...Array.from({ length: count }, (_, i) =>
      role(
        `line${i}`,
        { name: `a${i}`, needs: ["raw"], gives: [`a${i}`] },
        { name: `b${i}`, needs: [`a${i}`, `a${sibling(i, 1)}`], gives: [`b${i}`], cost: 2 },
        { name: `c${i}`, needs: [`b${i}`], gives: [`c${i}`, `b${sibling(i, 3)}`], cost: 3 },
        { name: `d${i}`, needs: [`a${i}`], gives: [`c${i}`], cost: 6 },
      ),
    ),
  ];

  it("200 of them towards 50 keys: within the node limit, and proven", () => {
    const plan = make(
      lines(50),
      Array.from({ length: 50 }, (_, i) => `c${i}`),
    );
    expect(plan.optimal).toBe(true);
    expect(plan.explored).toBeLessThan(20_000);
  });

  it("10,000 of them have a plan", () => {
    const plan = make(
      lines(2_500),
      Array.from({ length: 20 }, (_, i) => `c${i * 100}`),
    );
    expect(plan.workflow.steps.length).toBeGreaterThan(20);
  });
});

describe("a capabilities file", () => {
  it("is read from YAML and from JSON", () => {
    const yaml = parseCapabilities(
      "agents:\n  - role: loader\n    tasks:\n      - { name: load, gives: [dataset] }\n",
    );
    expect(yaml).toEqual(
      parseCapabilities(
        JSON.stringify({ agents: [{ role: "loader", tasks: [{ name: "load", gives: ["dataset"] }] }] }),
      ),
    );
    expect(make(yaml, ["dataset"]).workflow.steps).toHaveLength(1);
  });

  it("that is wrong is refused with line and path", () => {
    const error = failure(() =>
      parseCapabilities("agents:\n  - role: loader\n    tasks:\n      - name: load\n        cost: -1\n"),
    );
    expect(error.code).toBe("E_CAPABILITIES");
    expect(error.message).toContain("line 5, agents.0.tasks.0.cost");
    expect(failure(() => parseCapabilities("agents: [")).message).toContain("line 1");
    expect(failure(() => parseCapabilities("")).code).toBe("E_CAPABILITIES");
  });
});

describe("wishes", () => {
  const capabilities: RoleCard[] = [
    role("reporter", { name: "report", description: "Write a report", needs: ["path"], gives: ["report"] }),
    role("modeler", {
      name: "model",
      description: "Fit a model",
      needs: ["path"],
      gives: ["model"],
      when: "env.rows >= 80",
      synonyms: ["drives", "predict"],
    }),
  ];
  const planner = new WorkflowPlanner({ capabilities });
  const plan = (rows: number) =>
    planner.createWorkflow("what drives revenue", { path: "x", rows }, { want: ["report"] });

  it("a key read out of the goal is reached beside the wanted ones where it can be", () => {
    expect(plan(100).want).toEqual(["report", "model"]);
  });

  it("one that cannot be reached is let go, and its task is listed with the reason", () => {
    const small = plan(20);
    expect(small.want).toEqual(["report"]);
    expect(small.rejected).toMatchObject([{ role: "modeler", task: "model" }]);
  });

  it("a wanted key that cannot be reached is still refused", () => {
    const request = { want: ["model"] };
    expect(() => planner.createWorkflow("report", { path: "x", rows: 20 }, request)).toThrow(
      /No plan reaches/,
    );
  });
});

it("a free step that only another spare step needed is left out as well", () => {
  const capabilities: RoleCard[] = [
    role(
      "worker",
      { name: "direct", gives: ["goal"], cost: 0 },
      { name: "detour", needs: ["a"], gives: ["goal", "a"], cost: 0 },
      { name: "start", gives: ["a"], cost: 0 },
    ),
  ];
  const { workflow } = new WorkflowPlanner({ capabilities }).createWorkflow(
    undefined,
    {},
    { want: ["goal"] },
  );
  expect(workflow.steps.map(({ id }) => id)).toEqual(["direct"]);
});
