/**
 * Evaluates the expressions of steps that look inside large values, and holds such values against the schemas of
 * their keys: fetches the values, and proposes what came of it as decisions (L3), so that no reader of the log
 * has to fetch anything.
 *
 * It owns fetching and cutting long lists into decisions that fit a message. It does not own which steps need
 * it, nor what the decisions change: the fold does.
 */
import {
  checkIn,
  FetchedValues,
  messageValuesBytes,
  redeem,
  referencesIn,
  travelsAsItIs,
} from "../bus/claim-check.ts";
import { encodeBody } from "../bus/codec.ts";
import type { WireError } from "../bus/messages.ts";
import type { HeldValue } from "../fold/env-updates.ts";
import type { LookedInto, LookInside, Resolution } from "../fold/large-values.ts";
import type { RunFold } from "../fold/run-fold.ts";
import { DataHammerError, UnreachableError } from "../workflow/errors.ts";
import type { ExpressionScope } from "../workflow/expressions.ts";
import type { Proposal } from "./decision-writer.ts";
import { HOLD_LIMITS } from "./hold-context.ts";
import type { HoldFrame } from "./hold-frame.ts";

type Resolved = Omit<Proposal & { type: "resolved" }, "type" | "step">;

export class ValueResolver {
  readonly #frame: HoldFrame;
  readonly #busy = new Set<string>();
  #judging: Promise<void> | undefined;

  constructor(frame: HoldFrame) {
    this.#frame = frame;
  }

  resolve(step: string): void {
    if (this.#busy.has(step)) return;
    this.#busy.add(step);
    this.#resolve(step).catch((error: unknown) =>
      this.#frame.giveUp(`the expressions of ${step} could not be evaluated`, error),
    );
  }

  async #resolve(step: string): Promise<void> {
    const { fold } = this.#frame;
    try {
      while (fold.unresolved.has(step) && !fold.ended && !this.#frame.over) {
        const look = fold.lookOf(step);
        const parts = await this.#persist(() => (look ? this.#look(step, look) : this.#parts(fold, step)));
        const isWanted = () => fold.unresolved.has(step) && fold.lookOf(step) === look && !fold.ended;
        for (const part of parts ?? []) {
          await this.#frame.propose(() => (isWanted() ? { type: "resolved", step, ...part } : undefined));
        }
        // Nothing came of it for what it waits for now: a revised plan has let go of the step.
        if (isWanted()) return;
      }
    } finally {
      // At once, so that what becomes unresolved in the next breath is not passed over.
      this.#busy.delete(step);
    }
  }

  /** Holds what is held against its schemas, one after the other. Resolves when nothing is left. Never rejects. */
  judge(): Promise<void> {
    this.#judging ??= this.#judge()
      .catch((error: unknown) =>
        this.#frame.giveUp("a large value could not be held against its schema", error),
      )
      .finally(() => {
        this.#judging = undefined;
      });
    return this.#judging;
  }

  async #judge(): Promise<void> {
    const { fold } = this.#frame;
    for (let held = fold.held[0]; held !== undefined && !this.#frame.over; held = fold.held[0]) {
      const { seq, key } = held;
      const problem = await this.#persist(() => this.#problemOf(fold, held));
      const verdict = { type: "judged", seq, key, ...(problem !== undefined && { problem }) } as const;
      await this.#frame.propose(() => (fold.held[0] === held ? verdict : undefined));
    }
  }

  async #problemOf(fold: RunFold, { key, value }: HeldValue): Promise<string | undefined> {
    const fetched = new FetchedValues();
    await fetched.fetch(this.#frame.context.bus.artifacts, referencesIn(value));
    try {
      return fold.values?.schemas?.problem(key, fetched.whole(value));
    } catch (thrown) {
      return `${key}: ${wireErrorOf(thrown).message}`;
    }
  }

  async #look(step: string, look: LookInside): Promise<Resolved[]> {
    const { fold, context } = this.#frame;
    const fetched = new FetchedValues();
    await fetched.fetch(context.bus.artifacts, look.references);
    const { n } = fold.step(step).context;
    try {
      const { inputs, ...found } = look.evaluate(fetched);
      return [{ ...found, n, ...(inputs === undefined ? {} : { inputs: await this.#small(inputs) }) }];
    } catch (thrown) {
      return [{ n, error: wireErrorOf(thrown) }];
    }
  }

  async #persist<T>(act: () => Promise<T>): Promise<T | undefined> {
    while (!this.#frame.over) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
        await this.#frame.pause(HOLD_LIMITS.retryMs);
      }
    }
    return undefined;
  }

  async #parts(fold: RunFold, id: string): Promise<Resolved[]> {
    const { values, steps } = fold;
    if (values === undefined || steps === undefined) return [];
    const { state, context } = fold.step(id);
    const standing = state === "pending" ? {} : { n: context.n };
    // Whoever opens a failed step again does not ask for its condition.
    const step = state === "pending" ? steps.step(id) : { ...steps.step(id), when: undefined };
    const wanted = values.lookedInto(step);
    let resolution: Resolution;
    try {
      const { claimCheckBytes } = this.#frame.context.bus.artifacts;
      resolution = values.resolveStep(step, await this.#fetch(fold, wanted), claimCheckBytes);
      return (await this.#cut(resolution)).map((part) => ({ ...part, ...standing }));
    } catch (thrown) {
      return [{ error: wireErrorOf(thrown), ...standing }];
    }
  }

  async #fetch(
    fold: RunFold,
    wanted: LookedInto | undefined,
  ): Promise<Pick<ExpressionScope, "inputs" | "env" | "steps">> {
    const { artifacts } = this.#frame.context.bus;
    const fetched = {
      inputs: {} as Record<string, unknown>,
      env: {} as Record<string, unknown>,
      steps: {} as Record<string, { outputs: Record<string, unknown> | null }>,
    };
    for (const key of wanted?.inputs ?? []) fetched.inputs[key] = await redeem(artifacts, fold.inputs[key]);
    for (const key of wanted?.env ?? []) {
      fetched.env[key] = await redeem(artifacts, fold.environment.get(key));
    }
    for (const id of wanted?.steps ?? []) {
      const outputs = (await redeem(artifacts, fold.outputsOf(id) ?? null)) as Record<string, unknown> | null;
      fetched.steps[id] = { outputs };
    }
    return fetched;
  }

  /** Decisions that each fit a message. */
  async #cut(resolution: Resolution): Promise<Resolved[]> {
    if ("skip" in resolution) return [{ skip: true }];
    if ("inputs" in resolution) return [{ inputs: await this.#small(resolution.inputs) }];
    const { items, itemInputs } = resolution;
    const parts: Resolved[] = [];
    let part = emptyPart(0);
    const most = messageValuesBytes(this.#frame.context.bus.artifacts);
    let bytes = 0;
    const push = (more: boolean) => {
      const { from, items, itemInputs: inputs, itemErrors } = part;
      const found = itemInputs === undefined ? {} : { itemInputs: inputs };
      parts.push({ from, items, ...found, ...(itemErrors.length === 0 ? {} : { itemErrors }), more });
    };
    for (const [place, value] of items.entries()) {
      const { item } = await this.#small({ item: value });
      const found = itemInputs?.[place] ?? { inputs: {} };
      const inputs = "inputs" in found ? await this.#small(found.inputs) : {};
      const error = "error" in found ? found.error : undefined;
      const size = encodeBody({ item, inputs, error }).length;
      if (bytes + size > most && part.items.length > 0) {
        push(true);
        part = emptyPart(place);
        bytes = 0;
      }
      part.items.push(item);
      part.itemInputs.push(inputs);
      if (error !== undefined) part.itemErrors.push({ place, error });
      bytes += size;
    }
    push(false);
    return parts;
  }

  async #small(values: Record<string, unknown>): Promise<Record<string, unknown>> {
    const { artifacts } = this.#frame.context.bus;
    if (travelsAsItIs(values, artifacts.claimCheckBytes)) return values;
    return checkIn(artifacts, this.#frame.run, values);
  }
}

/** A part of what was found for a fan-out. */
interface ItemsPart {
  from: number;
  items: unknown[];
  itemInputs: Record<string, unknown>[];
  itemErrors: { place: number; error: WireError }[];
}

const emptyPart = (from: number): ItemsPart => ({ from, items: [], itemInputs: [], itemErrors: [] });

/** What the step fails with. Anything but a fault of its expressions or values is thrown again. */
function wireErrorOf(thrown: unknown): WireError {
  if (!(thrown instanceof DataHammerError) || thrown instanceof UnreachableError) throw thrown;
  const { name, code, message } = thrown;
  return { name, code, message, retryable: false };
}
