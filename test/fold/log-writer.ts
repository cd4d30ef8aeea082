/** Writes a run's log for tests, record by record, and folds it. */
import type { LogEntry, LogRecord } from "../../src/bus/bus.ts";
import type { DecisionMessage } from "../../src/bus/decisions.ts";
import type { ControlMessage, ResultMessage } from "../../src/bus/messages.ts";
import type { Effect } from "../../src/fold/effect.ts";
import { RunFold } from "../../src/fold/run-fold.ts";
import type { TransitionRecord, VoidRecord } from "../../src/fold/transition-record.ts";

type Unmade<T> = T extends unknown ? Omit<T, "v" | "id" | "epoch" | "at"> : never;

export class LogWriter {
  readonly run = "r1";
  readonly records: LogRecord[] = [];
  readonly transitions: TransitionRecord[] = [];
  readonly voids: VoidRecord[] = [];
  readonly fold = new RunFold(this.run, {
    observer: {
      onTransition: (transition) => this.transitions.push(transition),
      onVoid: (record) => this.voids.push(record),
    },
  });
  #seq = 0;
  #ts = 1_000_000;

  add(entry: LogEntry): readonly Effect[] {
    this.#seq += 3;
    this.#ts += 10;
    const record: LogRecord = { run: this.run, seq: this.#seq, ts: this.#ts, ...entry };
    this.records.push(record);
    return this.fold.apply(record);
  }

  submit(workflow: unknown, environment: Record<string, unknown> = {}): this {
    this.add({ kind: "submit", body: { v: 1, workflow, inputs: {}, environment } });
    return this.claim(1);
  }

  claim(epoch: number): this {
    this.decide({ type: "claim", holder: `daemon-${epoch}` }, epoch);
    return this;
  }

  decide(decision: Unmade<DecisionMessage>, epoch = this.fold.epoch): readonly Effect[] {
    const body = { v: 1, id: `d${this.#seq}`, epoch, at: this.#ts, ...decision } as DecisionMessage;
    return this.add({ kind: "decision", body });
  }

  started(step: string, n = 1, agent = "agent-1"): readonly Effect[] {
    const role = this.fold.step(step).context.role;
    const body = {
      v: 1 as const,
      epoch: this.fold.epoch,
      dispatched: [{ step, n, role, at: this.#ts }],
      started: [{ step, n, agent, at: this.#ts + 1 }],
    };
    return this.add({ kind: "observed", body });
  }

  result(
    step: string,
    more: Partial<ResultMessage> = {},
    role = this.fold.step(step).context.role,
  ): readonly Effect[] {
    const n = more.n ?? this.fold.step(step).context.n;
    const body: ResultMessage = { v: 1, run: this.run, step, n, agent: "agent-1", status: "done", ...more };
    return this.add({ kind: "result", role, body });
  }

  control(verb: ControlMessage["verb"], more: Partial<ControlMessage> = {}): readonly Effect[] {
    return this.add({ kind: "control", body: { v: 1, verb, by: "ada", ...more } });
  }

  /** `done`, `ready`, … by step id. */
  states(): Record<string, string> {
    const steps = [...(this.fold.graph?.steps() ?? [])];
    return Object.fromEntries(steps.map(({ id }) => [id, this.fold.step(id).state]));
  }
}
