/**
 * The swarm's own planner, asked by somebody who has no run: for `plan`, which runs nothing.
 *
 * It owns a question outside of any run: its task, the waiting for its answer, and that neither is left behind. What
 * is asked and what an answer may say is as in a run, and the plan is the same.
 */
import { plannerAgent } from "../actors/planner-agent.ts";
import type { DeskQuestion, PlannerDesk } from "../actors/planner-desk.ts";
import type { Bus, Clock } from "../bus/bus.ts";
import type { ResultMessage } from "../bus/messages.ts";
import type { ConsultationReply } from "../fold/consultations.ts";
import { RunFold } from "../fold/run-fold.ts";
import type { AdviceRequest } from "../planner/advised-planning.ts";
import type { Advisor } from "../planner/counsel.ts";
import { PLAN_REF, PLANNER_ROLE } from "../workflow/planner-task.ts";

/** How long an agent may take to stop. */
const STOP_MS = 1_000;

export class PlannerVisit implements PlannerDesk {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #run: string;
  /** Sequence of the last answer; 0: there was none. */
  #lastSeq = 0;

  /** @param run an id that no run has */
  constructor(bus: Bus, clock: Clock, run: string) {
    this.#bus = bus;
    this.#clock = clock;
    this.#run = run;
  }

  advisor({ goals, environment, cards, options }: AdviceRequest): Advisor {
    const fold = new RunFold(this.#run);
    const { want, inputs = {} } = options;
    const wanted = want === undefined ? {} : { want: [...want] };
    const asked = [goals ?? []].flat();
    const body = {
      v: 1 as const,
      goals: asked,
      ...wanted,
      inputs: { ...inputs },
      environment: { ...environment },
    };
    fold.apply({ run: this.#run, seq: 1, ts: this.#clock.now(), kind: "submit", body });
    return plannerAgent(fold, this, cards, "plan", () => this.#clock.monotonic());
  }

  async ask({ task, round, inputs, timeoutMs }: DeskQuestion): Promise<ConsultationReply> {
    const { log, tasks, live } = this.#bus;
    const ref = { run: this.#run, step: PLAN_REF, n: round, role: PLANNER_ROLE };
    let tell = (_: ResultMessage | undefined): void => {};
    const told = new Promise<ResultMessage | undefined>((resolve) => {
      tell = resolve;
    });
    const follower = await log.follow(this.#run, (record) => {
      this.#lastSeq = record.seq;
      if (record.kind === "result" && record.role === PLANNER_ROLE && record.body.n === round)
        tell(record.body);
    });
    const timer = this.#clock.setTimeout(() => tell(undefined), timeoutMs);
    try {
      await tasks.push({
        v: 1,
        ...ref,
        task,
        inputs,
        attempt: round,
        idempotencyKey: `${this.#run}:${PLAN_REF}:${round}`,
        deadline: this.#clock.now() + timeoutMs,
        outputs: [],
        handoff: { from: [] },
      });
      const result = await told;
      if (result !== undefined) return replyOf(result);
      if (!(await tasks.remove(ref))) await live.cancel(ref, "the plan was made without it", STOP_MS);
      return { agent: null, failure: `it gave no answer within ${timeoutMs} ms` };
    } finally {
      this.#clock.clearTimeout(timer);
      follower.close();
    }
  }

  /** Removes the answers. */
  async leave(): Promise<void> {
    if (this.#lastSeq > 0) await this.#bus.log.purge(this.#run, { from: 1, to: this.#lastSeq });
  }
}

function replyOf({ agent, status, outputs = {}, error }: ResultMessage): ConsultationReply {
  if (status === "done") return { agent, outputs };
  return { agent, failure: error?.message ?? "it handed its question on, which nobody may" };
}
