/** Planning for a hold: asks who is present, lets the planner answer, and words the answer as a decision. */
import type { Logger } from "pino";
import type { Bus } from "../bus/bus.ts";
import type { RunFold } from "../fold/run-fold.ts";
import { WorkflowPlanner } from "../planner/planner.ts";
import type { RoleCard } from "../workflow/capability.ts";
import { DataHammerError } from "../workflow/errors.ts";
import type { Proposal } from "./decision-writer.ts";
import type { RunPlanning } from "./run-planning.ts";

export class SwarmPlanning implements RunPlanning {
  readonly #bus: Bus;
  readonly #log: Logger;

  constructor(bus: Bus, log: Logger) {
    this.#bus = bus;
    this.#log = log;
  }

  async plan(fold: RunFold): Promise<Proposal> {
    const capabilities = await this.#capabilities();
    const planner = new WorkflowPlanner({ capabilities });
    const { goals, want } = fold.submission ?? {};
    try {
      const plan = planner.createWorkflow(goals, fold.environment.values, {
        inputs: fold.inputs,
        ...(want ? { want } : {}),
      });
      this.#log.info({ run: fold.run, steps: plan.workflow.steps.length, cost: plan.cost }, "planned");
      const { workflow, cost, optimal, explored, reasons } = plan;
      return { type: "plan", workflow, cost, optimal, explored, reasons };
    } catch (error) {
      if (!(error instanceof DataHammerError)) throw error;
      const message = error.remedy ? `${error.message} ${error.remedy}` : error.message;
      return { type: "end", status: "failed", error: { code: error.code, message } };
    }
  }

  async recover(fold: RunFold, step: string): Promise<Proposal> {
    const { context } = fold.step(step);
    const given = { type: "recover", step, n: context.n } as const;
    const definition = fold.steps?.step(step);
    const recovery = new WorkflowPlanner({ capabilities: await this.#capabilities() }).recover({
      step: { agent: context.role, task: context.task, outputs: [...(definition?.outputs ?? [])] },
      environment: fold.environment.values,
      inputs: fold.inputs,
      failed: context.tried,
    });
    if (!recovery) return { ...given, reason: "no present agent has another way to its outputs" };
    const { role, task, inputs, reason } = recovery;
    return { ...given, role, task, inputs: fold.resolve(inputs), reason };
  }

  /** One card per role: agents of one role are interchangeable, so the tasks of all of them count. */
  async #capabilities(): Promise<RoleCard[]> {
    const roles = new Map<string, RoleCard>();
    for (const agent of await this.#bus.presence.list()) {
      for (const card of agent.roles) {
        const known = roles.get(card.role);
        const names = new Set(known?.tasks.map((task) => task.name));
        const tasks = [...(known?.tasks ?? []), ...card.tasks.filter((task) => !names.has(task.name))];
        roles.set(card.role, { ...card, tasks });
      }
    }
    return [...roles.values()];
  }
}
