/** The people of a simulation: they submit runs, and some pause, cancel, retry and set keys. */
import type { AppendOptions, Bus, LogEntry } from "../bus/bus.ts";
import type { ControlMessage } from "../bus/messages.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import type { Faults } from "./faults.ts";
import type { World } from "./world.ts";

export interface PeopleScene {
  world: World;
  faults: Faults;
  bus: Bus;
  /** As the log says now. */
  statusOf(run: string): string;
}

const RETRIES = 2;
const TRY_AGAIN_MS = 400;

export class People {
  readonly #scene: PeopleScene;
  readonly #runs: string[] = [];
  #pending = 0;
  #ending = false;

  constructor(scene: PeopleScene) {
    this.#scene = scene;
  }

  /** Whether everything that they wanted to say is stored. */
  get idle(): boolean {
    return this.#pending === 0;
  }

  submit(run: string, workflow: WorkflowDocument, environment: Record<string, unknown>): void {
    const { world, faults } = this.#scene;
    const chance = faults.chance("people");
    this.#runs.push(run);
    this.#pending++;
    world.after(chance.between(0, 2_000), () => {
      this.#pending--;
      const body = { v: 1, workflow, inputs: {}, environment, by: "ada" } as const;
      void this.#say(run, { kind: "submit", body }, { expectLast: 0 });
    });
    if (!faults.kinds.has("people")) return;
    for (let at = chance.between(1, 5); at > 0; at--) this.#meddle(run);
    this.#retryFailures(run, RETRIES);
  }

  /** From now on nobody leaves a run paused. */
  bringToAnEnd(): void {
    this.#ending = true;
    const wake = (): void => {
      for (const run of this.#runs) {
        if (this.#scene.statusOf(run) === "paused") void this.#control(run, { verb: "resume" });
      }
      this.#scene.world.after(5_000, wake);
    };
    wake();
  }

  #meddle(run: string): void {
    const { world, faults } = this.#scene;
    const chance = faults.chance("people");
    world.after(chance.between(500, faults.untilMs), () => {
      if (this.#ending) return;
      const verb = chance.pick(["pause", "pause", "cancel", "env", "retry", "signal"] as const);
      if (verb === "env") {
        const body = { v: 1, key: "note", value: chance.between(1, 9), by: "ada" } as const;
        void this.#say(run, { kind: "env", body });
      } else if (verb !== "cancel" || chance.happens(0.4)) void this.#control(run, { verb });
      if (verb === "pause")
        world.after(chance.between(100, 20_000), () => void this.#control(run, { verb: "resume" }));
    });
  }

  #retryFailures(run: string, left: number): void {
    const { world, faults, statusOf } = this.#scene;
    const chance = faults.chance("people");
    world.after(chance.between(1_000, 6_000), () => {
      if (this.#ending || left === 0) return;
      const failed = statusOf(run) === "failed";
      if (failed) void this.#control(run, { verb: "retry", ...(chance.happens(0.3) ? { step: "s0" } : {}) });
      this.#retryFailures(run, failed ? left - 1 : left);
    });
  }

  #control(run: string, control: Pick<ControlMessage, "verb" | "step">): Promise<void> {
    return this.#say(run, { kind: "control", body: { v: 1, by: "ada", ...control } });
  }

  /** Says it until the broker has confirmed it. */
  async #say(run: string, entry: LogEntry, options?: AppendOptions): Promise<void> {
    const { world, bus } = this.#scene;
    this.#pending++;
    for (;;) {
      try {
        // A submission that is refused was stored at an earlier try, whose answer was lost.
        await bus.log.append(run, entry, options);
        break;
      } catch {
        // Unreachable: it may be stored or not, so it is said again.
        await new Promise<void>((resolve) => world.after(TRY_AGAIN_MS, resolve));
      }
    }
    this.#pending--;
  }
}
