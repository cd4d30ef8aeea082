/**
 * Deliberate mistakes: small changes of the runtime's source, each of which the simulation has to notice.
 *
 * A mutant is a copy of the sources with one text replaced. A text that is not found exactly once is an error:
 * the runtime changed, and the mutant has to follow it.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

interface Change {
  file: string;
  from: string;
  to: string;
}

export interface Mutation extends Change {
  name: string;
  /** A second line of defence is needed only where the first one is down: made too, and not what is to be caught. */
  first?: Change;
  /** The rule that has to notice, where the first line's absence breaks others. Default: any. */
  rule?: string;
}

const LOST_COPIES: Change = {
  file: "src/bus/follower.ts",
  from: "(copy.lastInRun ?? 0) > this.#delivered",
  to: "this.#closed",
};

export const MUTATIONS: readonly Mutation[] = [
  {
    name: "decisions expect no sequence",
    file: "src/actors/decision-writer.ts",
    from: "body }, { expectLast })",
    to: "body })",
  },
  {
    name: "a nested run that nobody waits for goes on",
    file: "src/actors/parent-watch.ts",
    from: "if (answer?.open === false && !fold.ended)",
    to: "if (answer === undefined && fold.ended)",
  },
  {
    name: "a nested run tells its parent that it is done, however it ended",
    file: "src/actors/child-runs.ts",
    from: 'if (fold.status !== "done") return',
    to: 'if (fold.status === "cancelled") return',
  },
  {
    name: "a rerun takes over what depends on the step that is done again",
    file: "src/client/rerun.ts",
    from: "for (const next of graph.dependents(id)) found.add(next);",
    to: "for (const next of graph.dependents(id)) found.delete(next);",
  },
  {
    name: "what a rerun takes over is done again",
    file: "src/fold/step-flow.ts",
    from: "const open = [...released].filter((id) => !this.frontier.isClosed(id));",
    to: "const open = [...released];",
  },
  {
    name: "a late result counts",
    file: "src/fold/run-fold.ts",
    from: "flow.awaits(result.step, result.n) && role",
    to: "flow.awaits(result.step, Math.max(result.n, context.n)) && role",
  },
  {
    name: "an early result counts",
    file: "src/fold/run-fold.ts",
    from: "flow.awaits(result.step, result.n) && role",
    to: "flow.awaits(result.step, Math.min(result.n, context.n)) && role",
  },
  {
    name: "a result of a foreign role counts",
    file: "src/fold/run-fold.ts",
    from: "flow.awaits(result.step, result.n) && role === context.role)",
    to: "flow.awaits(result.step, result.n))",
  },
  {
    name: "decisions of any epoch count",
    file: "src/fold/decisions.ts",
    from: "if (decision.epoch !== this.#epoch) return",
    to: "if (decision.epoch < 0) return",
  },
  {
    name: "a decision about a closed dispatch counts",
    file: "src/fold/decisions.ts",
    from: "if (!flow.isIn(decision.step, decision.n)) return",
    to: "if (!flow.isIn(decision.step, flow.read(decision.step).context.n)) return",
  },
  {
    name: "an end that is not due counts",
    file: "src/fold/run-course.ts",
    from: 'if (status === "done") return this.flow?.complete ?? false;',
    to: 'if (status === "done") return true;',
  },
  {
    name: "an unreadable decision is not expected",
    file: "src/fold/run-fold.ts",
    from: 'if (record.of === "decision")',
    to: 'if (record.of === "submit")',
  },
  {
    name: "ifRevision is not looked at",
    file: "src/workflow/environment.ts",
    from: "if (update.ifRevision !== undefined &&",
    to: "if (update.ifRevision === -1 &&",
  },
  {
    name: "a task is acked before its result is stored",
    file: "src/agent/dispatch.ts",
    from: "      // A lost answer may make this a second copy",
    to: "      this.#settle((delivery) => delivery.ack());\n      // A lost answer may make this a second copy",
  },
  {
    name: "a task is not kept in progress and its second delivery not asked about",
    file: "src/agent/dispatch.ts",
    from: 'if ((await this.#isOpen()) === false) return "closed"; // D3',
    to: 'if ((await this.#isOpen()) !== undefined) return "closed"; // D3',
  },
  {
    name: "maxParallel is one too many",
    file: "src/actors/giving-out.ts",
    from: "return this.#flights.size < (this.#frame.fold.graph?.maxParallel ?? 0)",
    to: "return this.#flights.size <= (this.#frame.fold.graph?.maxParallel ?? 0)",
  },
  {
    name: "a replaced holder goes on",
    file: "src/actors/decision-writer.ts",
    from: "return this.#epoch > 0 && this.#scene.epoch > this.#epoch;",
    to: "return this.#epoch < 0;",
  },
  {
    name: "an offer does not wait for its back-off",
    file: "src/actors/giving-out.ts",
    from: "if (wait > 0) return deadlines.set(`back-off ${step}`, wait);",
    to: "",
  },
  {
    name: "a back-off never ends",
    file: "src/actors/giving-out.ts",
    from: "if (this.#frame.fold.ready.has(step)) this.offer(step);\n  }\n\n  offerReady",
    to: "}\n\n  offerReady",
  },
  {
    name: "a successor does not offer what is ready",
    file: "src/actors/run-hold.ts",
    from: "    this.#giving.offerReady();\n",
    to: "",
  },
  {
    name: "gaps in the log are not healed",
    file: "src/bus/follower.ts",
    from: "if (copy.lastOnSubject > known || (copy.lastInRun ?? 0) > this.#delivered) {",
    to: "if (copy.lastOnSubject < 0) {",
  },
  {
    name: "a lost copy that its own subject does not show is not looked for",
    ...LOST_COPIES,
  },
  {
    name: "and a log that came out of order for that is folded on",
    file: "src/actors/hold-frame.ts",
    from: "onRecord, { onDisorder });",
    to: "onRecord, { onDisorder: undefined as never });",
    // No adapter of a daemon lets it come to that: each heals a gap before it passes on what is younger.
    first: LOST_COPIES,
    rule: "a log is folded in its order",
  },
  {
    name: "a silence is not broken",
    file: "src/actors/run-hold.ts",
    from: "if (silent >= silenceMs) await this.#frame.sync();",
    to: "",
  },
  {
    name: "nobody looks for lost tasks",
    file: "src/actors/watchdog.ts",
    from: "(await context.bus.tasks.has(ref))",
    to: "context.bus.tasks !== undefined",
  },
  {
    name: "a join of any waits for all",
    file: "src/workflow/execution.ts",
    from: "Int32Array.from(graph.joinCounts)",
    to: "Int32Array.from(graph.joinCounts, (count, at) => count === 0 ? 0 : graph.dependents.filter((to) => to.includes(at)).length)",
  },
  {
    name: "a step starts one dependency early",
    file: "src/workflow/execution.ts",
    from: "if (awaited === 1 &&",
    to: "if (awaited <= 2 &&",
  },
  {
    name: "a paused run goes on",
    file: "src/actors/run-hold.ts",
    from: 'if (this.fold.status !== "running") return this.#parking.consider();',
    to: "if (this.fold.ended) return this.#parking.consider();",
  },
  {
    name: "a step that waits for a person is given out",
    file: "src/fold/step-moves.ts",
    from: "if (this.#mustWait(id)) return this.#wait(id);",
    to: "",
  },
  {
    name: "an item settles its fan-out twice",
    file: "src/fold/fan-outs.ts",
    from: "fanOut.awaited -= 1;",
    to: "fanOut.awaited -= 2;",
  },
  {
    name: "a step is repeated without a bound",
    file: "src/fold/step-flow.ts",
    from: "if (iteration % max === 0) throw repeatLimit(until, max);",
    to: "if (iteration < 0) throw repeatLimit(until, max);",
  },
  {
    name: "what completed first is undone first",
    file: "src/fold/compensations.ts",
    from: "for (const { step } of this.#completed.toReversed()) {",
    to: "for (const { step } of this.#completed.reverse()) {",
  },
  {
    name: "a dispatch beyond the budget is given out",
    file: "src/actors/spending-gate.ts",
    from: "if (!this.#isGranted(task)) this.#scene.refuse(task);",
    to: "if (this.#scene.over()) this.#scene.refuse(task);",
  },
  {
    name: "a task that vanishes is given out for ever",
    file: "src/actors/watchdog.ts",
    from: "if (fold.lossesOf(step) >= HOLD_LIMITS.lostInARow)",
    to: "if (this.#frame.over)",
  },
  {
    name: "an error that must not be retried is",
    file: "src/fold/step-flow.ts",
    from: "return isNamed ? { ...error, retryable: false } : error;",
    to: "return isNamed ? { ...error } : error;",
  },
  {
    name: "a step that is to be stopped is taken back and not closed",
    file: "src/actors/run-ending.ts",
    from: "if (!fold.cancelling.has(step) || fold.ended) return undefined;",
    to: "if (step !== undefined) return undefined;",
  },
  {
    name: "a nested run may spend what its parent has spent already",
    file: "src/fold/run-budget.ts",
    from: "left[resource] = bound - actual;",
    to: "left[resource] = bound;",
  },
  {
    name: "a nested run that waits at a limit above is not told that it was raised",
    file: "src/actors/raises-below.ts",
    from: "if (raisedSeq === 0 ||",
    to: "if (raisedSeq >= 0 ||",
  },
  {
    name: "a nested run that waits for more goes unnoticed",
    file: "src/fold/run-course.ts",
    from: "this.waitsBelow.find(({ seq }) => seq > raisedSeq)?.child;",
    to: "this.waitsBelow.find(({ seq }) => seq < raisedSeq)?.child;",
  },
  {
    name: "what comes after a fact does not wait until the plan was weighed",
    file: "src/fold/step-flow.ts",
    from: "if (this.planned && step.observes !== undefined) return this.facts.add(id);",
    to: "if (this.planned && step.observes !== undefined) this.facts.add(id);",
  },
  {
    name: "a revised plan does again what is done",
    file: "src/fold/step-flow.ts",
    from: "const free = this.frontier.replace(graph, closed);",
    to: "const free = this.frontier.replace(graph, closed.slice(0, 0));",
  },
  {
    name: "a doubt is never over",
    file: "src/actors/run-hold.ts",
    from: "Math.max(keptAt, this.#undoubtedAt)",
    to: "keptAt",
  },
  {
    name: "a value that breaks the schema of its key is kept",
    file: "src/fold/step-flow.ts",
    from: "this.values.schemaProblem(step, outputs)",
    to: "this.values.schemaProblem(step, {})",
  },
  {
    name: "a value that is large alone stays in its message",
    file: "src/bus/claim-check.ts",
    from: "if (body.length <= claimCheckBytes && total <=",
    to: "if (total <=",
  },
  {
    name: "a large value is looked into without the number of the iteration",
    file: "src/fold/run-values.ts",
    from: "const raw = this.#nextScopeOf(step);",
    to: "const raw = this.#scope;",
  },
  {
    name: "a step is given up and nobody is asked",
    file: "src/actors/swarm-planning.ts",
    from: "if (fold.steps?.step(step).ask !== undefined)",
    to: "if (fold.ended)",
  },
  {
    name: "a failure that people decided about is asked about again",
    file: "src/fold/answers.ts",
    from: "    flow.waits.settleAsked(step);\n    flow.chances.tryAgain(",
    to: "    flow.chances.tryAgain(",
  },
  {
    name: "a secret is shown where it is quoted",
    file: "src/workflow/secrets.ts",
    from: "return text.replaceAll(this.#pattern, MASK);",
    to: "return text;",
  },
  {
    name: "a revised plan has what its goal rules out",
    file: "src/actors/rest-of-run.ts",
    from: "    ...ruledOut,\n",
    to: "",
  },
  {
    name: "a planner's answer may leave out what the goal asks for",
    file: "src/planner/plan-proposal.ts",
    from: ".filter((key) => !want.includes(key) && !scope.wanted.includes(key))",
    to: ".filter(() => false)",
  },
  {
    name: "a planner's draft is not kept to, though the plan says so",
    file: "src/planner/advised-planning.ts",
    from: "if (draft === undefined) return best;",
    to: "if (draft !== null) return best;",
  },
  {
    name: "a planner's late answer counts",
    file: "src/fold/consultations.ts",
    from: "one.reply === undefined && ",
    to: "",
  },
  {
    name: "a second plan takes the place of the first",
    file: "src/fold/decisions.ts",
    from: 'if (this.#course.flow || this.#course.failure) return "the run has a workflow";',
    to: 'if (this.#course.failure) return "the run has failed";',
  },
  {
    name: "a nested run is not told its goal",
    file: "src/actors/child-runs.ts",
    from: "    ...goals,\n",
    to: "",
  },
  {
    name: "an agent is not told what is secret",
    file: "src/fold/task-message.ts",
    from: "{ secrets: secrets.textsIn(inputs) }",
    to: "{ secrets: [] }",
  },
];

/** Folder of the mutants' sources; its modules resolve packages as the repository's do. */
export function mutantHome(): { folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), "datahammer-mutants-"));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Writes a mutant's sources. @returns its simulation's entry. */
export function writeMutant(folder: string, at: number, { name, first, ...change }: Mutation): string {
  const home = join(folder, `mutant-${at}`);
  mkdirSync(home);
  cpSync(join(root, "src"), join(home, "src"), { recursive: true });
  for (const { file, from, to } of first === undefined ? [change] : [first, change]) {
    const path = join(home, file);
    const source = readFileSync(path, "utf8");
    const found = source.split(from).length - 1;
    if (found !== 1) throw new Error(`mutation "${name}": its text is in ${file} ${found} times, not once`);
    writeFileSync(
      path,
      source.replace(from, () => to),
    );
  }
  return join(home, "src", "simulation", "shrink.ts");
}
