/** Nested runs and undoing in a swarm inside one program: would catch a child that nobody takes on. */
import { expect, it } from "vitest";
import { WorkflowExecutor } from "../../src/embedded/executor.ts";

it("a nested run is done in the same process, and what completed is undone when the run fails", async () => {
  const inner = {
    steps: [{ id: "x", agent: "w", task: "give", outputs: ["x"] }],
    outputs: { x: "${env.x}" },
  };
  const calls: string[] = [];
  const workflow = {
    steps: [
      { id: "sub", agent: "orchestrator", task: "run", inputs: { workflow: inner }, outputs: ["x"] },
      { id: "a", agent: "w", task: "give", dependsOn: ["sub"], compensate: { agent: "desk", task: "undo" } },
      { id: "b", agent: "w", task: "fail", dependsOn: ["a"], retry: { maxAttempts: 1 } },
    ],
  };
  const running = new WorkflowExecutor().executeWorkflow(workflow, {}, (role, task) => {
    calls.push(`${role}.${task}`);
    if (task === "fail") throw new Error("no");
    return { x: 7 };
  });
  await expect(running).rejects.toMatchObject({ message: "no" });
  expect(calls).toEqual(["w.give", "w.give", "w.fail", "desk.undo"]);
});
