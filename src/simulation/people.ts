/** The people of a simulation: they submit runs and answer them; some pause, cancel, retry and set keys. */
import type { AppendOptions, Bus, LogEntry, LogRecord } from "../bus/bus.ts";
import { checkIn } from "../bus/claim-check.ts";
import type { ControlMessage } from "../bus/messages.ts";
import { resubmissionOf } from "../client/rerun.ts";
import type { Chance } from "./chance.ts";
import type { Faults } from "./faults.ts";
import type { Reference } from "./reference.ts";
import type { ReferenceStep } from "./reference-step.ts";
import type { ScenarioRun } from "./scenario.ts";
import type { World } from "./world.ts";

export interface PeopleScene {
  world: World;
  faults: Faults;
  bus: Bus;
  /** What the log of a run means so far. */
  referenceOf(run: string): Reference;
}

const RETRIES = 2;
/** What they do to a run; `stop` cancels a step, `again` begins a run that takes over what this one did. */
const VERBS = [
  "pause",
  "pause",
  "cancel",
  "stop",
  "stop",
  "env",
  "retry",
  "signal",
  "again",
  "again",
] as const;
/** So often is a run repeated, however often that is wanted. */
const REPEATS = 2;
const TRY_AGAIN_MS = 400;
/** How soon somebody who has nothing else to do sees that a step waits. */
const LOOK_EVERY_MS = 100;

export interface Meddling {
  repeats?: boolean;
  keys?: readonly string[];
}

/** A control, without who says it. */
export type Said = Omit<ControlMessage, "v" | "by">;

export class People {
  readonly #scene: PeopleScene;
  readonly #runs: string[] = [];
  readonly #repeats = new Map<string, number>();
  #pending = 0;
  #ending = false;

  constructor(scene: PeopleScene) {
    this.#scene = scene;
  }

  /** Whether everything that they wanted to say is stored. */
  get idle(): boolean {
    return this.#pending === 0;
  }

  /** As the log says now. */
  referenceOf(run: string): Reference {
    return this.#scene.referenceOf(run);
  }

  /** Submits a run; `then` is called once that is stored. */
  submit(run: string, submission: ScenarioRun, delayMs: number, then?: () => void): void {
    this.#runs.push(run);
    this.after(delayMs, async () => {
      const environment = await this.#small(run, submission.environment);
      const body = { v: 1, by: "ada", ...submission, environment } as const;
      await this.#say(run, { kind: "submit", body }, { expectLast: 0 });
      then?.();
    });
  }

  /** Minds a run that somebody else has submitted. */
  adopt(run: string): void {
    this.#runs.push(run);
  }

  /** Does something later; until then they have not said all that they want to say. */
  after(delayMs: number, act: () => Promise<void> | void): void {
    this.#pending++;
    this.#scene.world.after(delayMs, async () => {
      await act();
      this.#pending--;
    });
  }

  /**
   * Gets into the way of a run, where the seed has such people.
   * @param repeats whether they also rerun it
   * @param keys what they set from outside
   */
  meddleWith(run: string, { repeats = false, keys = ["note"] }: Meddling = {}): void {
    const { faults } = this.#scene;
    if (!faults.kinds.has("people")) return;
    const chance = faults.chance("people");
    for (let at = chance.between(1, 5); at > 0; at--) this.#meddle(run, repeats, keys);
    // Some wait for the moment in which it fails.
    this.#retryFailures(run, RETRIES, chance.happens(0.5) ? [10, 400] : [1_000, 6_000]);
  }

  /** Answers what waits in a run, sooner or later: sometimes twice, and signals sometimes before anybody waits. */
  answerFor(run: string): void {
    const { world } = this.#scene;
    const look = (): void => {
      world.after(this.chance.between(300, 8_000), () => {
        const reference = this.referenceOf(run);
        for (const step of reference.steps.values()) if (step.waits !== undefined) this.#answer(run, step);
        if (this.chance.happens(0.1)) this.#signalSomebody(run);
        if (!this.#ending || !reference.ended) look();
      });
    };
    look();
  }

  #answer(run: string, { id, task, waits }: ReferenceStep): void {
    for (let times = this.chance.happens(0.2) ? 2 : 1; times > 0; times--) {
      const value = this.chance.between(0, 500);
      const verb = this.chance.happens(0.85) ? "approve" : "reject";
      // What failed may be tried again, given up, or done by somebody else.
      const isAgain = waits === "failure" && this.chance.happens(0.4);
      if (isAgain) void this.control(run, { verb: "approve", step: id });
      else if (waits === "signal") void this.control(run, { verb: "signal", name: task, value });
      else void this.control(run, { verb, step: id, value });
    }
  }

  #signalSomebody(run: string): void {
    const names = this.referenceOf(run).workflow.steps.filter(({ agent }) => agent === "signal");
    if (names.length === 0) return;
    const { task: name } = this.chance.pick(names);
    void this.control(run, { verb: "signal", name, value: this.chance.between(0, 500) });
  }

  /** Answers each wait of a run as `choose` says, told how often the step has been answered before. */
  answerWhenAsked(
    run: string,
    choose: (step: ReferenceStep, times: number) => { afterMs: number; control: Said } | undefined,
  ): void {
    const times = new Map<string, number>();
    const asked = new Set<string>();
    const look = (): void => {
      const reference = this.referenceOf(run);
      if (reference.ended && this.#ending) return;
      for (const step of reference.steps.values()) {
        const name = `${step.id}#${step.n}`;
        if (step.waits === undefined || asked.has(name)) continue;
        asked.add(name);
        const before = times.get(step.id) ?? 0;
        times.set(step.id, before + 1);
        const answer = choose(step, before);
        if (answer !== undefined) this.after(answer.afterMs, () => this.control(run, answer.control));
      }
      this.#scene.world.after(LOOK_EVERY_MS, look);
    };
    look();
  }

  get chance(): Chance {
    return this.#scene.faults.chance("people");
  }

  /** From now on nobody leaves a run paused. */
  bringToAnEnd(): void {
    this.#ending = true;
    const wake = (): void => {
      for (const run of this.#runs) {
        const { status, pausedBy } = this.referenceOf(run);
        // What waits at a limit of a run above is let go on by that run.
        if (status === "paused" && pausedBy === undefined) void this.#resume(run);
      }
      this.#scene.world.after(5_000, wake);
    };
    wake();
  }

  #meddle(run: string, repeats: boolean, keys: readonly string[]): void {
    const { world, faults } = this.#scene;
    const chance = faults.chance("people");
    world.after(chance.between(500, faults.untilMs), () => {
      if (this.#ending) return;
      const verb = chance.pick(VERBS);
      if (verb === "stop") this.#stopSomething(run, chance);
      else if (verb === "again") repeats && this.#again(run, chance);
      else if (verb === "env") void this.setKey(run, chance.pick(keys), chance.between(1, 9));
      else if (verb !== "cancel" || chance.happens(0.4)) void this.control(run, { verb });
      if (verb === "pause") world.after(chance.between(100, 20_000), () => void this.#resume(run));
    });
  }

  /** Cancels one step: any, for nobody knows beforehand where it will be by then. */
  #stopSomething(run: string, chance: Chance): void {
    const open = [...this.referenceOf(run).steps.values()].filter(
      ({ state }) => state !== "done" && state !== "failed",
    );
    if (open.length > 0) void this.control(run, { verb: "cancel", step: chance.pick(open).id });
  }

  /** Repeats a run: from one of its steps on, as it stood at one of its records, or as a whole. */
  #again(run: string, chance: Chance): void {
    const reference = this.referenceOf(run);
    const repeats = (this.#repeats.get(run) ?? 0) + 1;
    if (
      reference.workflow.steps.length === 0 ||
      reference.status === "none" ||
      repeats > REPEATS ||
      run.length > 40
    )
      return;
    this.#repeats.set(run, repeats);
    const { id } = chance.pick(reference.workflow.steps);
    const kind = chance.pick(["from", "from", "at", "whole"] as const);
    this.after(chance.between(0, 1_000), async () => {
      const records = await this.#recordsOf(run);
      // A plan that was revised meanwhile may have left the step out: nothing is there to be done again.
      if (!this.referenceOf(run).workflow.steps.some((step) => step.id === id)) return;
      const submitted = records.findIndex(({ kind: of }) => of === "submit");
      const { seq } = chance.pick(records.slice(Math.max(0, submitted)));
      const choice = kind === "from" ? { from: id } : kind === "at" ? { at: seq } : {};
      const body = await resubmissionOf(run, eachOf(records), choice);
      await this.#say(`${run}-again${repeats}`, { kind: "submit", body }, { expectLast: 0 });
    });
  }

  /** Large values go by claim check, as a client sends them. */
  async #small(run: string, values: Record<string, unknown>): Promise<Record<string, unknown>> {
    const { artifacts } = this.#scene.bus;
    for (;;) {
      try {
        return await checkIn(artifacts, run, values);
      } catch {
        await this.#pause();
      }
    }
  }

  async #recordsOf(run: string): Promise<LogRecord[]> {
    for (;;) {
      try {
        const records: LogRecord[] = [];
        for await (const record of this.#scene.bus.log.read(run)) records.push(record);
        return records;
      } catch {
        await this.#pause();
      }
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#scene.world.after(TRY_AGAIN_MS, resolve));
  }

  #retryFailures(run: string, left: number, everyMs: readonly [number, number]): void {
    const { world, faults } = this.#scene;
    const chance = faults.chance("people");
    world.after(chance.between(...everyMs), () => {
      if (this.#ending || left === 0) return;
      const failed = this.referenceOf(run).status === "failed";
      if (failed) void this.#retry(run, chance.happens(0.3) ? "s0" : undefined);
      this.#retryFailures(run, failed ? left - 1 : left, everyMs);
    });
  }

  #resume(run: string): Promise<void> {
    return this.control(run, { verb: "resume", ...this.#money(run) });
  }

  #retry(run: string, step: string | undefined): Promise<void> {
    return this.control(run, { verb: "retry", ...this.#money(run), ...(step === undefined ? {} : { step }) });
  }

  /** A run that has a budget is given a larger one with whatever lets it go on. */
  #money(run: string): { value?: unknown } {
    if (!this.referenceOf(run).budgeted) return {};
    return { value: { budget: { tokens: 1_000_000, usd: 1_000, wall: "10h", dispatches: 10_000 } } };
  }

  control(run: string, control: Said): Promise<void> {
    return this.#say(run, { kind: "control", body: { v: 1, by: "ada", ...control } });
  }

  setKey(run: string, key: string, value: unknown): Promise<void> {
    return this.#say(run, { kind: "env", body: { v: 1, key, value, by: "ada" } });
  }

  /** Says it until the broker has confirmed it. */
  async #say(run: string, entry: LogEntry, options?: AppendOptions): Promise<void> {
    const { bus } = this.#scene;
    this.#pending++;
    for (;;) {
      try {
        // A submission that is refused was stored at an earlier try, whose answer was lost.
        await bus.log.append(run, entry, options);
        break;
      } catch {
        // Unreachable: it may be stored or not, so it is said again.
        await this.#pause();
      }
    }
    this.#pending--;
  }
}

async function* eachOf(records: readonly LogRecord[]): AsyncIterable<LogRecord> {
  yield* records;
}
