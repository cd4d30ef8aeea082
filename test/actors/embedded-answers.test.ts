/**
 * People in the loop of an embedded run, and programs that look on. Catches: a call that hangs because nobody can
 * answer, an answer that does not reach its step, and a program's own mistake that meets the bus instead of it.
 */
import { expect, it } from "vitest";
import { WorkflowExecutor } from "../../src/embedded/executor.ts";

const workflow = {
  steps: [
    { id: "ask", agent: "human", task: "choose", inputs: { of: [1, 2] }, outputs: ["choice"] },
    { id: "go", agent: "signal", task: "paid", outputs: ["paid"] },
    { id: "use", agent: "worker", task: "use", dependsOn: ["ask", "go"], approval: true, outputs: ["used"] },
  ],
};
const invoke = () => ({ used: true });

it("asks the program once for every wait", async () => {
  const asked: string[] = [];
  const executor = new WorkflowExecutor({
    answer: ({ step, for: kind, inputs }) => {
      asked.push(`${step} ${kind}`);
      return { approve: kind === "human" ? (inputs.of as number[])[1] : { amount: 5 } };
    },
  });
  const environment = await executor.executeWorkflow(workflow, {}, invoke);
  expect(environment).toEqual({ choice: 2, paid: { amount: 5 }, used: true });
  expect(asked.sort()).toEqual(["ask human", "go signal", "use approval"]);
});

it("a rejection fails the run, and so does an answer function that throws", async () => {
  const reject = new WorkflowExecutor({ answer: () => ({ reject: "no" }) });
  await expect(
    reject.executeWorkflow({ steps: workflow.steps.slice(0, 1) }, {}, invoke),
  ).rejects.toMatchObject({
    code: "E_REJECTED",
  });
  const broken = new WorkflowExecutor({
    answer: () => {
      throw new Error("no idea");
    },
  });
  await expect(broken.executeWorkflow(workflow, {}, invoke)).rejects.toThrow("no idea");
});

it("an observer of records that throws fails the call with what it threw, at the first record and at a later one", async () => {
  for (const kind of ["submit", "result"]) {
    const executor = new WorkflowExecutor({
      onRecord: (record) => {
        if (record.kind === kind) throw new Error(`no ${kind}`);
      },
    });
    const steps = [{ id: "a", agent: "worker", task: "use", outputs: ["used"] }];
    await expect(executor.executeWorkflow({ steps }, {}, invoke)).rejects.toThrow(`no ${kind}`);
  }
});

it("without an answer function a workflow that would wait for ever is refused before anything runs", async () => {
  const executor = new WorkflowExecutor();
  await expect(executor.executeWorkflow(workflow, {}, invoke)).rejects.toMatchObject({
    code: "E_NOBODY_TO_ASK",
  });
  const deadline = { after: "20ms", answer: "approve", value: 1 };
  const steps = [{ ...workflow.steps[0], deadline }];
  expect(await executor.executeWorkflow({ steps }, {}, invoke)).toEqual({ choice: 1 });
});
