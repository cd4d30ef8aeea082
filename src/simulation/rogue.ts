/** Somebody on the bus who says what must not count: results of nobody's dispatches, decisions of old epochs. */
import type { Bus, LogEntry } from "../bus/bus.ts";
import type { DecisionMessage } from "../bus/decisions.ts";
import type { MemoryBroker } from "../bus/memory/broker.ts";
import type { ResultMessage } from "../bus/messages.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import type { Evidence } from "./evidence.ts";
import type { Faults } from "./faults.ts";
import type { Reference } from "./reference.ts";
import { QUESTIONS } from "./reference-questions.ts";
import { ROLES } from "./workflows.ts";
import type { World } from "./world.ts";

/** What nobody planned, for a run that has its workflow. */
const STRANGE_PLAN: WorkflowDocument = {
  steps: [{ id: "strange", agent: ROLES[0], task: "undo", inputs: {}, outputs: [] }],
};

export interface RogueScene {
  world: World;
  faults: Faults;
  evidence: Evidence;
  broker: MemoryBroker;
  bus: Bus;
  /** What the log of a run means so far. */
  referenceOf(run: string): Reference;
}

export class Rogue {
  readonly #scene: RogueScene;
  #ids = 0;

  constructor(scene: RogueScene) {
    this.#scene = scene;
  }

  begin(runs: () => readonly string[]): void {
    const { world, faults } = this.#scene;
    if (!faults.kinds.has("rogue")) return;
    const next = (): void => {
      world.after(faults.pauseBefore("rogue") / 3, () => {
        if (faults.over) return;
        void this.#strike(faults.chance("rogue").pick(runs()));
        next();
      });
    };
    next();
  }

  async #strike(run: string): Promise<void> {
    const { faults, broker, world } = this.#scene;
    const reference = this.#scene.referenceOf(run);
    if (reference.status === "none") return;
    const chance = faults.chance("rogue");
    if (reference.questions.asked.length > 0 && chance.happens(0.3)) return this.#answer(run, reference);
    if (reference.steps.size === 0) return;
    if (chance.happens(0.15)) {
      const kind = chance.pick([`result.${chance.pick(ROLES)}`, "decision", "observed", "env"]);
      world.note("rogue", `writes nonsense to ${run} ${kind}`);
      return broker.inject(`dh.main.run.${run}.${kind}`, new Uint8Array([chance.between(0, 255), 1, 2]));
    }
    if (chance.happens(0.35)) return this.#decide(run, reference);
    return this.#report(run, reference);
  }

  /** A result that is late, early, or of another role: never the one that is waited for. */
  async #report(run: string, reference: Reference): Promise<void> {
    const chance = this.#scene.faults.chance("rogue");
    const step = chance.pick([...reference.steps.values()]);
    const kind = chance.pick(["late", "early", "foreign", "unknown"] as const);
    const others = ROLES.filter((role) => role !== step.role);
    const role = kind === "foreign" ? chance.pick(others) : step.role;
    const n = kind === "late" ? step.n - 1 : kind === "early" ? step.n + 1 : step.n;
    if (n < 1) return;
    const status = chance.pick(["done", "failed", "handoff"] as const);
    const body: ResultMessage = {
      v: 1,
      run,
      step: kind === "unknown" ? "nowhere" : step.doc.id,
      n,
      agent: "rogue",
      status,
      ...(status === "done"
        ? { outputs: Object.fromEntries((step.doc.outputs ?? []).map((key) => [key, -1])) }
        : {}),
      ...(status === "failed"
        ? { error: { name: "Error", message: "rogue", retryable: chance.happens(0.5) } }
        : {}),
      ...(status === "handoff"
        ? { handoff: { role: chance.pick(ROLES), task: "work", inputs: {}, reason: "rogue" } }
        : {}),
    };
    await this.#write(
      run,
      { kind: "result", role, body },
      `${kind} result ${body.step}#${n} ${status} of ${role}`,
    );
  }

  /** An answer to a question that is over, was never put, or is somebody else's; or one more planner's answer. */
  async #answer(run: string, { questions: { asked } }: Reference): Promise<void> {
    const chance = this.#scene.faults.chance("rogue");
    const role = chance.pick(["planner", "planner", "planner", ...ROLES]);
    const n = chance.happens(0.2) ? asked.length + 1 : chance.between(1, asked.length);
    const outputs = chance.pick([{}, { want: ["p0"] }, { stands: true }, { answer: 42 }]);
    const body: ResultMessage = { v: 1, run, step: QUESTIONS, n, agent: "rogue", status: "done", outputs };
    await this.#write(run, { kind: "result", role, body }, `an answer to question ${n} of ${role}`);
  }

  async #decide(run: string, reference: Reference): Promise<void> {
    const { evidence, faults, bus, world } = this.#scene;
    const chance = faults.chance("rogue");
    const kind = chance.pick(["of the past", "of the past", "of the future", "out of place"] as const);
    const epoch = reference.epoch + { "of the past": -1, "of the future": 3, "out of place": 0 }[kind];
    const step = chance.pick([...reference.steps.values()]);
    const n = kind === "out of place" ? step.n - 1 : Math.max(1, step.n);
    const status = chance.pick(
      (["done", "failed", "cancelled"] as const).filter((one) => !reference.isDue(one)),
    );
    if (epoch < 1 || n < 1 || status === undefined) return;
    const id = `rogue-${++this.#ids}`;
    const base = { v: 1, id, epoch, at: 0 } as const;
    const about = { step: step.doc.id, n };
    const { asked } = reference.questions;
    const body = chance.pick<DecisionMessage>([
      { ...base, type: "end", status },
      { ...base, type: "lost", ...about },
      { ...base, type: "timed-out", ...about, code: "E_TIMEOUT", afterMs: 1 },
      ...(kind === "out of place" ? [] : [{ ...base, type: "run-timed-out", afterMs: 1 } as const]),
      { ...base, type: "plan", workflow: STRANGE_PLAN, cost: 0, optimal: true, explored: 0, reasons: {} },
      { ...base, type: "consult", n: asked.length + 2, task: "plan", about: "plan", round: 1 },
    ]);
    let last = 0;
    for await (const record of bus.log.read(run)) {
      if (record.kind === "decision") last = record.seq;
    }
    evidence.rogueDecisions.add(id);
    const stored = await bus.log.append(run, { kind: "decision", body }, { expectLast: last });
    if (stored.ok) world.note("rogue", `stores ${run} ${stored.seq} decision ${body.type} of epoch ${epoch}`);
  }

  async #write(run: string, entry: LogEntry, what: string): Promise<void> {
    const stored = await this.#scene.bus.log.append(run, entry);
    if (stored.ok) this.#scene.world.note("rogue", `stores ${run} ${stored.seq} ${what}`);
  }
}
