/**
 * What the reference says of logs that seeds come upon too seldom. Would catch: a reference that itself reads a log
 * wrongly, so that judges object to what is right.
 */
import { expect, it } from "vitest";
import { folds } from "../../src/simulation/judge.ts";
import { Reference } from "../../src/simulation/reference.ts";
import { WORKFLOW_LANGUAGE } from "../../src/simulation/workflow-language.ts";
import type { WorkflowDocument } from "../../src/workflow/document.ts";
import { LogWriter } from "../fold/log-writer.ts";

const fanOut: WorkflowDocument = {
  steps: [
    {
      id: "each",
      agent: "red",
      task: "work",
      forEach: [38, 54],
      inputs: { n: "${env.given.n}" },
      outputs: ["v"],
    },
  ],
};

/** The run failed, for what its items are given could not be worked out; somebody retries it. */
function retried(set?: { given: unknown }): LogWriter {
  const log = new LogWriter().submit(fanOut, { given: null });
  if (set) log.add({ kind: "env", body: { v: 1, key: "given", value: set.given, by: "ada" } });
  log.decide({ type: "end", status: "failed", error: { code: "E_EXPRESSION", message: "no n" } });
  log.control("retry");
  return log;
}

it.each([
  ["that still cannot be opened stay failed, below a step that is open", undefined, "failed", "running"],
  ["that can be opened now are ready", { given: { n: 7 } }, "ready", "running"],
])("items %s, by the fold and by the reference", (_, set, item, whole) => {
  const { run, records, fold } = retried(set);
  expect([fold.step("each~0").state, fold.step("each").state]).toEqual([item, whole]);
  const wrongs: string[] = [];
  folds(run, records, referenceOf(records), WORKFLOW_LANGUAGE, (rule, what) =>
    wrongs.push(`${rule}: ${what}`),
  );
  expect(wrongs).toEqual([]);
});

function referenceOf(records: LogWriter["records"]): Reference {
  const reference = new Reference(fanOut, WORKFLOW_LANGUAGE);
  for (const record of records) reference.apply(record);
  return reference;
}
