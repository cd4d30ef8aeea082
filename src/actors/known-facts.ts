/**
 * What planning knows of a run: its environment and inputs as they are at the moment, with the values themselves
 * where a guard, a cost or an advisor looks inside one that is in the log as a reference; and which of the tasks
 * that are there its goals rule out.
 *
 * It owns fetching them before a plan is thought about, since a decision is made without waiting (L3). A value
 * that was purged is as good as not set. Nobody else's values are fetched: a plan passes them on by reference.
 */
import type { Bus } from "../bus/bus.ts";
import { FetchedValues, holdsReference } from "../bus/claim-check.ts";
import { referencesRead } from "../fold/large-values.ts";
import type { RunFold } from "../fold/run-fold.ts";
import { tasksRuledOut } from "../planner/goal-matching.ts";
import type { WeighRequest } from "../planner/revision.ts";
import type { RoleCard } from "../workflow/capability.ts";
import { DataHammerError } from "../workflow/errors.ts";

type Values = Readonly<Record<string, unknown>>;

export class KnownFacts {
  /** Of the tasks that are there, those that no plan of this run may have: not only its first one. */
  readonly ruledOut: NonNullable<WeighRequest["excluded"]>;
  readonly #fold: RunFold;
  readonly #fetched: FetchedValues;

  private constructor(fold: RunFold, cards: readonly RoleCard[], fetched: FetchedValues) {
    this.ruledOut = ruledOutBy([fold.submission?.goals ?? []].flat(), cards);
    this.#fold = fold;
    this.#fetched = fetched;
  }

  /** @param cards whose guards and costs will be looked at. @throws UnreachableError */
  static async of(fold: RunFold, bus: Bus, cards: readonly RoleCard[]): Promise<KnownFacts> {
    const fetched = new FetchedValues();
    const { hasLarge, hasNested } = fold.environment;
    if (hasLarge || hasNested || holdsReference(fold.inputs)) {
      const tasks = cards.flatMap((card) => card.tasks);
      const sources = tasks
        .flatMap(({ when, cost }) => [when, cost])
        .filter((one) => typeof one === "string");
      const missing = () => {
        const scope = { inputs: fold.inputs, env: fold.environment.values, steps: {} };
        return referencesRead(sources, scope).filter((reference) => !fetched.has(reference));
      };
      for (let some = missing(); some.length > 0; some = missing()) await fetched.fetch(bus.artifacts, some);
    }
    return new KnownFacts(fold, cards, fetched);
  }

  get environment(): Values {
    const { environment } = this.#fold;
    return environment.hasLarge || environment.hasNested
      ? this.#whole(environment.values)
      : environment.values;
  }

  get inputs(): Values {
    return this.#whole(this.#fold.inputs);
  }

  #whole(values: Values): Values {
    if (!Object.values(values).some(holdsReference)) return values;
    const known: Record<string, unknown> = Object.create(null);
    for (const [key, value] of Object.entries(values)) {
      try {
        known[key] = this.#fetched.whole(value);
      } catch (error) {
        if (!(error instanceof DataHammerError)) throw error;
        // Gone: whoever needs it would not get it either.
      }
    }
    return known;
  }
}

function ruledOutBy(goals: readonly string[], cards: readonly RoleCard[]): KnownFacts["ruledOut"] {
  const reasons = tasksRuledOut(goals, cards);
  if (reasons.size === 0) return [];
  return cards.flatMap(({ role, tasks }) =>
    tasks.flatMap(({ name: task }) => {
      const reason = reasons.get(`${role}.${task}`);
      return reason === undefined ? [] : [{ role, task, reason }];
    }),
  );
}
