/**
 * Fan-outs over lists that are too large for the log, on the memory bus under a virtual clock.
 * Catches: an item that sees a reference instead of its value, a list that fails as a whole where a small one would
 * fail item by item, one that is not looked for again after a retry.
 */
import { expect, it } from "vitest";
import { checkIn } from "../../src/bus/claim-check.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import { SwarmStage } from "./swarm-stage.ts";

const large = (text: string) => `${text} ${"x".repeat(300_000)}`;

it("expressions look inside the large items of a fan-out's list, and each item's inputs inside its own", async () => {
  const stage = new SwarmStage();
  for (const role of ["maker", "worker", "reader"]) await stage.serve(role);
  await stage.daemon();
  await stage.submit({
    steps: [
      { id: "make", agent: "maker", task: "t", forEach: ["a", "b"], outputs: ["text"] },
      {
        id: "each",
        agent: "worker",
        task: "t",
        dependsOn: ["make"],
        when: "size(env.text[0]) > 1000",
        forEach: "env.text",
        inputs: { size: "${size(item)}", begins: "${item.startsWith('b')}" },
      },
      { id: "pass", agent: "reader", task: "t", dependsOn: ["make"], inputs: { all: "${env.text}" } },
    ],
    outputs: { sizes: "${env.text.map(t, size(t))}" },
  });
  for (const [place, text] of ["a", "b"].entries()) {
    const outputs = await checkIn(stage.bus.artifacts, "r1", { text: large(text) });
    await stage.answer("maker", { step: `make~${place}`, outputs });
  }
  await stage.clock.advance(1_000);
  const size = large("a").length;
  expect(stage.taken.get("worker")?.map(({ task }) => task.inputs)).toEqual([
    { size, begins: false },
    { size, begins: true },
  ]);
  expect(stage.taken.get("reader")?.[0]?.task.inputs).toEqual({
    all: [expect.objectContaining({ $artifact: expect.anything() }), expect.anything()],
  });
  for (const step of ["each~0", "each~1"]) await stage.answer("worker", { step, outputs: {} });
  await stage.answer("reader", { step: "pass", outputs: {} });
  await stage.clock.advance(1_000);
  expect(await stage.fold()).toMatchObject({ status: "done", outputs: { sizes: [size, size] } });
});

it("an item of a large list whose inputs cannot be worked out fails alone, as it does in a small one", async () => {
  const text = large("a");
  const lists = { small: [{ n: 1 }, {}, { n: 3 }], large: [{ n: 1, text }, { text }, { n: 3, text }] };
  for (const [list, value] of Object.entries(lists)) {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    const client = await connectSwarm({ bus: stage.bus, by: "ada" });
    const step = { id: "each", agent: "worker", task: "t", forEach: "env.list", inputs: { n: "${item.n}" } };
    const steps = [{ ...step, outputs: ["out"], onFailure: "continue" }];
    await client.submit({ run: "r1", workflow: { steps }, environment: { list: value } });
    await stage.clock.advance(1_000);
    expect(stage.taken.get("worker")?.map(({ task }) => task.inputs)).toEqual([{ n: 1 }, { n: 3 }]);
    for (const place of [0, 2])
      await stage.answer("worker", { step: `each~${place}`, outputs: { out: place } });
    await stage.clock.advance(1_000);
    const fold = await stage.fold();
    expect([list, fold.status, fold.environment.get("out")]).toEqual([list, "done", [0, null, 2]]);
  }
});

it("a fan-out over a large list that was stopped before it began begins after a retry", async () => {
  const stage = new SwarmStage();
  for (const role of ["maker", "worker"]) await stage.serve(role);
  await stage.daemon();
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  await stage.submit({
    steps: [
      { id: "make", agent: "maker", task: "t", outputs: ["list"] },
      {
        id: "each",
        agent: "worker",
        task: "t",
        dependsOn: ["make"],
        forEach: "env.list.map(text, size(text))",
      },
    ],
  });
  await client.control("r1", { verb: "cancel", step: "each" });
  const list = [large("a"), large("b")];
  await stage.answer("maker", { outputs: await checkIn(stage.bus.artifacts, "r1", { list }) });
  await stage.clock.advance(5_000);
  expect((await stage.fold()).error).toMatchObject({ code: "E_CANCELLED", step: "each" });
  await client.control("r1", { verb: "retry" });
  await stage.clock.advance(5_000);
  expect((await stage.fold()).fanOutOf("each")).toMatchObject({ items: 2 });
  for (const step of ["each~0", "each~1"]) await stage.answer("worker", { step, outputs: {} });
  await stage.clock.advance(1_000);
  expect((await stage.fold()).status).toBe("done");
});
