/** What a run may spend and has spent, said a second time. */
import type { Draw } from "../bus/budget-draw.ts";
import type { DecisionMessage } from "../bus/decisions.ts";
import type { ResultMessage, Usage } from "../bus/messages.ts";
import { ms } from "./reference-step.ts";

interface BudgetDocument {
  tokens?: number | undefined;
  usd?: number | undefined;
  wall?: string | undefined;
  dispatches?: number | undefined;
  onLimit?: "pause" | "fail" | undefined;
}

type Limits = Map<string, number>;
type SpentAbove = Pick<DecisionMessage & { type: "spent-above" }, "run" | "onLimit" | "seq">;

const NOTHING = [
  ["tokens", 0],
  ["usd", 0],
  ["wall", 0],
  ["dispatches", 0],
] as const;

export class ReferenceBudget {
  readonly onLimit: "pause" | "fail";
  #own: Limits;
  /** What was left above at the start, in a run below another that has a budget. */
  #inherited: Limits = new Map();
  /** Whether the present holder heeds what is raised, above and here. */
  #heeds = false;
  readonly #isBelow: boolean;
  #lifted = false;
  readonly #spent: Map<string, number>;
  readonly #counted = new Map<string, number>();
  readonly #reported: Set<string>;
  /** By dispatch, what each run below it says that it has spent. */
  readonly #below = new Map<string, Map<string, Map<string, number>>>();
  readonly #settled = new Set<string>();
  /** The run above that is at a limit: what it does there, and where in its log it refused a draw. */
  #above: { run: string; onLimit: "pause" | "fail"; seq: number } | undefined;
  /** Where in its log each run above says that it was raised. */
  readonly #raisesAbove = new Map<string, number>();
  /** Runs below that wait for more, since when. */
  readonly #waitsBelow = new Map<string, { name: string; seq: number }>();
  #raisedSeq = 0;

  /** @param before what was spent before there was a workflow */
  constructor(
    workflow: BudgetDocument | undefined,
    submission: BudgetDocument | undefined,
    isBelow: boolean,
    before?: ReferenceBudget,
  ) {
    this.#spent = new Map(before === undefined ? NOTHING : before.#spent);
    this.#reported = new Set(before === undefined ? [] : before.#reported);
    this.#isBelow = isBelow;
    this.#own = limitsOf(workflow);
    if (isBelow) this.#inherited = limitsOf(submission);
    else this.#own = lesser(this.#own, limitsOf(submission));
    this.onLimit = submission?.onLimit ?? workflow?.onLimit ?? "pause";
  }

  get limited(): boolean {
    return !this.#lifted && (this.#isBelow || this.#own.size > 0);
  }

  get bounds(): ReadonlyMap<string, number> {
    if (this.#lifted) return new Map();
    return this.#heeds ? this.#own : lesser(this.#own, this.#inherited);
  }

  claimed(heeds: boolean): void {
    this.#heeds = heeds;
  }

  /** What is left of each limit, but for time; undefined: nothing is limited. */
  get left(): ReadonlyMap<string, number> | undefined {
    if (!this.limited) return undefined;
    const left: Limits = new Map();
    for (const [resource, bound] of lesser(this.#own, this.#inherited)) {
      const spent = this.#spent.get(resource) ?? 0;
      const standing = this.bounds.get(resource);
      if (bound > spent) left.set(resource, bound - spent);
      else if (standing !== undefined) left.set(resource, Math.max(0, standing - spent));
    }
    return left;
  }

  get exceeded(): boolean {
    return this.#exceeds(this.bounds) || this.#above !== undefined;
  }

  /** The run above for which it stops; undefined: it does for itself, or for nobody. */
  get stoppedBy(): string | undefined {
    return this.#exceeds(this.bounds) ? undefined : this.#above?.run;
  }

  get atLimit(): "pause" | "fail" {
    return this.#exceeds(this.bounds) ? this.onLimit : (this.#above?.onLimit ?? this.onLimit);
  }

  /** A limit of a run above. */
  spentAbove({ run, onLimit = this.onLimit, seq = 0 }: SpentAbove): void {
    const isOld = seq > 0 && seq < (this.#raisesAbove.get(run) ?? 0);
    if (this.limited && !isOld) this.#above = { run, onLimit, seq };
  }

  raisedAbove(run: string, seq: number): void {
    this.#raisesAbove.set(run, Math.max(seq, this.#raisesAbove.get(run) ?? 0));
    if (this.#above?.run === run && this.#above.seq < seq) this.#above = undefined;
  }

  /** Whether a run below waits at a limit, and nobody has let it go on. */
  holdsBelow(isOpen: (name: string) => boolean): boolean {
    return [...this.#waitsBelow.values()].some(({ name, seq }) => seq > this.#raisedSeq && isOpen(name));
  }

  /** A run below tells what it has spent, and takes dispatches as far as there are any. */
  draw({ child, step, n, tokens, usd, dispatches, wants, pauses }: Draw, open: boolean, seq: number): void {
    const name = `${step}#${n}`;
    if (wants > 0) this.#waitsBelow.delete(child);
    if (this.#settled.has(name)) return;
    this.#tell(name, child, { tokens, usd, dispatches });
    if (!open || wants === 0) return;
    const bound = this.bounds.get("dispatches") ?? Number.POSITIVE_INFINITY;
    const others = [...this.bounds].filter(([resource]) => resource !== "dispatches");
    const known = this.#below.get(name)?.get(child)?.get("dispatches") ?? 0;
    const left = this.#exceeds(new Map(others))
      ? Number.NEGATIVE_INFINITY
      : Math.max(0, bound - (this.#spent.get("dispatches") ?? 0));
    const most = known + left;
    if (pauses && this.onLimit === "pause" && most <= dispatches) this.#waitsBelow.set(child, { name, seq });
    if (most > dispatches) this.#tell(name, child, { dispatches: Math.min(dispatches + wants, most) });
  }

  #tell(name: string, child: string, sums: Record<string, number>): void {
    const below = this.#below.get(name) ?? new Map<string, Map<string, number>>();
    this.#below.set(name, below);
    const told = below.get(child) ?? new Map<string, number>();
    below.set(child, told);
    for (const [resource, sum] of Object.entries(sums)) {
      const more = Math.max(0, sum - (told.get(resource) ?? 0));
      told.set(resource, (told.get(resource) ?? 0) + more);
      this.#add(resource, more);
    }
  }

  /** What a run did is undone whatever it costs. */
  lift(): void {
    this.#lifted = true;
    this.#above = undefined;
  }

  dispatched(step: string, n: number): void {
    if ((this.#counted.get(step) ?? 0) >= n) return;
    this.#counted.set(step, n);
    this.#add("dispatches", 1);
  }

  /** @returns whether something was spent that was not told before */
  report({ step, n, agent, usage }: ResultMessage, isNested: boolean): boolean {
    const key = `${step}#${n} ${agent}`;
    if (usage === undefined || this.#reported.has(key)) return false;
    this.#reported.add(key);
    // A nested run's end tells of all that was below it.
    if (isNested) this.#settled.add(`${step}#${n}`);
    for (const told of this.#below.get(`${step}#${n}`)?.values() ?? [])
      for (const [resource, sum] of told) this.#add(resource, -sum);
    this.#below.delete(`${step}#${n}`);
    this.#pay(usage);
    return true;
  }

  /** What advice has cost. */
  planned(usage: Usage | undefined): void {
    if (usage !== undefined) this.#pay(usage);
  }

  timePassed(elapsedMs: number): void {
    this.#spent.set("wall", Math.max(elapsedMs, this.#spent.get("wall") ?? 0));
  }

  /** Whether the run may go on with these limits in place of the old ones. */
  allows(given: BudgetDocument | undefined): boolean {
    return this.limited ? !this.#exceeds(new Map([...this.bounds, ...limitsOf(given)])) : given === undefined;
  }

  raise(given: BudgetDocument | undefined, seq: number): void {
    const raised = limitsOf(given);
    this.#raisedSeq = seq;
    this.#above = undefined;
    this.#own = new Map([...this.#own, ...raised]);
    this.#inherited = new Map([...this.#inherited].filter(([resource]) => !raised.has(resource)));
  }

  #exceeds(limits: ReadonlyMap<string, number>): boolean {
    return [...limits].some(([resource, bound]) => (this.#spent.get(resource) ?? 0) >= bound);
  }

  #pay({ tokens = 0, usd = 0, dispatches = 0 }: Usage): void {
    for (const [resource, amount] of Object.entries({ tokens, usd, dispatches }))
      this.#add(resource, Math.max(0, amount));
  }

  #add(resource: string, amount: number): void {
    this.#spent.set(resource, (this.#spent.get(resource) ?? 0) + amount);
  }
}

function lesser(one: Limits, other: Limits): Limits {
  const all = new Map(one);
  for (const [resource, bound] of other) all.set(resource, Math.min(bound, all.get(resource) ?? bound));
  return all;
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
