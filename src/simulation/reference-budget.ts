/** What a run may spend and has spent, said a second time. */
import type { ResultMessage } from "../bus/messages.ts";
import { ms } from "./reference-step.ts";

interface BudgetDocument {
  tokens?: number | undefined;
  usd?: number | undefined;
  wall?: string | undefined;
  dispatches?: number | undefined;
  onLimit?: "pause" | "fail" | undefined;
}

type Limits = Map<string, number>;

export class ReferenceBudget {
  readonly onLimit: "pause" | "fail";
  readonly #limits: Limits;
  readonly #spent = new Map([
    ["tokens", 0],
    ["usd", 0],
    ["wall", 0],
    ["dispatches", 0],
  ]);
  readonly #counted = new Map<string, number>();
  readonly #reported = new Set<string>();

  constructor(workflow: BudgetDocument | undefined, submission: BudgetDocument | undefined) {
    this.#limits = limitsOf(workflow);
    for (const [resource, bound] of limitsOf(submission))
      this.#limits.set(resource, Math.min(bound, this.#limits.get(resource) ?? bound));
    this.onLimit = submission?.onLimit ?? workflow?.onLimit ?? "pause";
  }

  get limited(): boolean {
    return this.#limits.size > 0;
  }

  /** What is left of each limit, but for time; undefined: nothing is limited. */
  get left(): ReadonlyMap<string, number> | undefined {
    if (!this.limited) return undefined;
    return new Map(
      [...this.#limits].map(([resource, bound]) => [
        resource,
        Math.max(0, bound - (this.#spent.get(resource) ?? 0)),
      ]),
    );
  }

  get exceeded(): boolean {
    return this.#exceeds(this.#limits);
  }

  /** What a run did is undone whatever it costs. */
  lift(): void {
    this.#limits.clear();
  }

  dispatched(step: string, n: number): void {
    if ((this.#counted.get(step) ?? 0) >= n) return;
    this.#counted.set(step, n);
    this.#add("dispatches", 1);
  }

  /** @returns whether something was spent that was not told before */
  report({ step, n, agent, usage }: ResultMessage): boolean {
    const key = `${step}#${n} ${agent}`;
    if (usage === undefined || this.#reported.has(key)) return false;
    this.#reported.add(key);
    this.#add("tokens", Math.max(0, usage.tokens ?? 0));
    this.#add("usd", Math.max(0, usage.usd ?? 0));
    this.#add("dispatches", Math.max(0, usage.dispatches ?? 0));
    return true;
  }

  timePassed(elapsedMs: number): void {
    this.#spent.set("wall", Math.max(elapsedMs, this.#spent.get("wall") ?? 0));
  }

  /** @returns whether the run may go on with these limits in place of the old ones */
  raise(given: BudgetDocument | undefined): boolean {
    if (!this.limited) return given === undefined;
    const raised = new Map([...this.#limits, ...limitsOf(given)]);
    if (this.#exceeds(raised)) return false;
    for (const [resource, bound] of raised) this.#limits.set(resource, bound);
    return true;
  }

  #exceeds(limits: Limits): boolean {
    return [...limits].some(([resource, bound]) => (this.#spent.get(resource) ?? 0) >= bound);
  }

  #add(resource: string, amount: number): void {
    this.#spent.set(resource, (this.#spent.get(resource) ?? 0) + amount);
  }
}

function limitsOf({ tokens, usd, wall, dispatches }: BudgetDocument = {}): Limits {
  const all: [string, number | undefined][] = [
    ["tokens", tokens],
    ["usd", usd],
    ["wall", wall === undefined ? undefined : ms(wall)],
    ["dispatches", dispatches],
  ];
  return new Map(all.filter((one): one is [string, number] => one[1] !== undefined));
}
