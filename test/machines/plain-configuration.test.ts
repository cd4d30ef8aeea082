/**
 * The machines as `datahammer machines` prints them, read by XState's own tools. Catches: a configuration that holds
 * something that JSON loses, one that a tool refuses, and one with other states, events or ways than the machine that
 * runs, or than the page about the life of a step draws.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AnyStateMachine, createActor, createMachine } from "xstate";
import { type DirectedGraphNode, toDirectedGraph } from "xstate/graph";
import { runProgram } from "../../src/cli/program.ts";
import { agentMachine } from "../../src/machines/agent.ts";
import { runMachine } from "../../src/machines/run.ts";
import { stepMachine } from "../../src/machines/step.ts";
import { memoryShell } from "../cli/memory-shell.ts";

const running: Record<string, AnyStateMachine> = { step: stepMachine, run: runMachine, agent: agentMachine };

async function printed(...argv: string[]): Promise<string> {
  const shell = memoryShell();
  expect([await runProgram(["machines", ...argv], shell), shell.err()]).toEqual([0, ""]);
  return shell.out();
}

/** Every way of a machine, as XState's graph has it: from, event, to. */
function ways(machine: AnyStateMachine): string[] {
  const edgesOf = (node: DirectedGraphNode): string[] => [
    ...node.edges.map(({ source, target, label }) => `${source.id} --> ${target.id}: ${label.text}`),
    ...node.children.flatMap(edgesOf),
  ];
  return edgesOf(toDirectedGraph(machine)).sort();
}

const factsOf = (machine: AnyStateMachine) => ({
  states: Object.keys(machine.states),
  events: [...machine.events].sort(),
  ways: ways(machine),
});

describe.each(Object.entries(running))("the %s machine", (name, machine) => {
  it("is printed as JSON from which XState makes the same machine", async () => {
    const made = createMachine(JSON.parse(await printed(name)));
    expect(factsOf(made)).toEqual(factsOf(machine));
    expect(JSON.parse(await printed(name, "--json"))).toEqual(JSON.parse(await printed(name)));
  });

  it("says of every state and every way what it means, in words that a tool shows", () => {
    const machineStates = [machine.root, ...Object.values(machine.states)];
    const ways = machineStates.flatMap(({ transitions }) => [...transitions.values()].flat());
    const mute = [...Object.values(machine.states), ...ways].filter(
      ({ description }) => !description?.endsWith("."),
    );
    expect(mute.map((one) => ("eventType" in one ? `${one.source.key}: ${one.eventType}` : one.key))).toEqual(
      [],
    );
    expect(ways.length).toBeGreaterThan(5);
  });

  it("is among all three", async () => {
    expect(JSON.parse(await printed())[name]).toEqual(JSON.parse(await printed(name)));
  });
});

describe("the printed module", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "dh-machines-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  async function imported(...argv: string[]): Promise<Record<string, AnyStateMachine>> {
    const file = join(folder, `${argv.join("-")}.mjs`);
    // A module outside of the package finds no `xstate` by its name.
    const source = (await printed(...argv)).replace(
      `"xstate"`,
      JSON.stringify(import.meta.resolve("xstate")),
    );
    writeFileSync(file, source);
    return import(pathToFileURL(file).href);
  }

  it("exports each machine, with the same states, events and ways", async () => {
    const all = await imported("--format", "ts");
    for (const [name, machine] of Object.entries(running)) {
      const one = (await imported(name, "--format", "ts"))[`${name}Machine`];
      expect(one && factsOf(one)).toEqual(factsOf(machine));
      expect(factsOf(all[`${name}Machine`] as AnyStateMachine)).toEqual(factsOf(machine));
    }
  });

  it("can be walked: what the names stand for lets every event through", async () => {
    const { stepMachine: step } = await imported("step", "--format", "ts");
    const actor = createActor(step as AnyStateMachine).start();
    const seen = ["dependencies met", "start", "fail", "start", "hand off", "start", "complete"].map(
      (type) => {
        actor.send({ type });
        return actor.getSnapshot().value;
      },
    );
    expect(seen).toEqual(["ready", "running", "ready", "running", "ready", "running", "done"]);
  });
});

describe("the page about the life of a step", () => {
  it("draws every way of the step machine and no other", () => {
    const page = readFileSync(join(import.meta.dirname, "../../docs/lifecycle.md"), "utf8");
    const drawn = [...page.matchAll(/^ {4}(\w+) --> (\w+): (.+)$/gm)].map(
      ([, from, to, event]) => `step.${from} --> step.${to}: ${event}`,
    );
    expect([...new Set(drawn)].sort()).toEqual([...new Set(ways(stepMachine))]);
  });
});

describe("what is no machine or format", () => {
  it.each([
    [["rocket"], /Use one of step, run, agent/],
    [["step", "--format", "svg"], /Use json or ts/],
  ])("%j is refused with what there is", async (argv, remedy) => {
    const shell = memoryShell();
    expect(await runProgram(["machines", ...argv], shell)).not.toBe(0);
    expect(shell.err()).toMatch(remedy);
  });
});
