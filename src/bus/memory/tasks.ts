/** The roles' work queues of the memory bus. */
import { InvalidInputError } from "../../workflow/errors.ts";
import type { Puller, PullOptions, RoleStatus, TaskDelivery, TaskQueue } from "../bus.ts";
import { assertFits, encodeBody, parseBody } from "../codec.ts";
import {
  DEFAULT_ROLE_SETTINGS,
  type DispatchRef,
  type RoleSettings,
  roleSettingsSchema,
  type TaskMessage,
  taskSchema,
} from "../messages.ts";
import { parseSubject } from "../subjects.ts";
import type { MemoryConnection } from "./connection.ts";
import { type QueueItem, type Taker, WorkQueue } from "./queue.ts";
import type { SwarmStore } from "./store.ts";

/** A task that only a newer agent can read is offered again after this. */
const LEFT_TO_NEWER_MS = 30_000;

export class MemoryTasks implements TaskQueue {
  readonly #connection: MemoryConnection;

  constructor(connection: MemoryConnection) {
    this.#connection = connection;
  }

  async ensureRole(settings: { role: string } & Partial<RoleSettings>): Promise<RoleSettings> {
    const { store } = this.#connection.open();
    store.subjects.tasksOf(settings.role);
    const known = store.roles.get(settings.role);
    const checked = roleSettingsSchema.safeParse({
      ...DEFAULT_ROLE_SETTINGS,
      ...known?.settings,
      ...settings,
    });
    if (!checked.success) throw invalidSettings(settings.role, checked.error.issues[0]?.message ?? "invalid");
    if (known !== undefined) {
      known.settings = checked.data;
      known.queue.settings = checked.data;
      known.queue.pump();
    } else {
      const queue = new WorkQueue(store.clock, store.deliver, checked.data);
      store.roles.set(settings.role, { settings: checked.data, queue });
      for (const [subject, bytes] of store.homeless.get(settings.role) ?? []) queue.push(subject, bytes);
      store.homeless.delete(settings.role);
      for (const arrive of store.roleArrivals) arrive(settings.role);
    }
    return checked.data;
  }

  async roles(): Promise<RoleStatus[]> {
    const { store } = this.#connection.open();
    return [...store.roles.values()].map(({ settings, queue }) => ({
      ...settings,
      queued: queue.queued,
      held: queue.held,
      redelivered: queue.redelivered,
    }));
  }

  async push(task: TaskMessage): Promise<"queued" | "present"> {
    const { store } = this.#connection.open();
    const subject = store.subjects.task(task);
    const role = store.roles.get(task.role);
    const bytes = encodeBody(task, role?.settings.encoding);
    assertFits(bytes, store.maxPayloadBytes, `The task ${task.run}/${task.step}`);
    return store.pushTask(task.role, subject, bytes);
  }

  pull(role: string, options: PullOptions<TaskDelivery>): Puller {
    const { store } = this.#connection.attach();
    store.subjects.tasksOf(role);
    const taker: Taker = {
      party: this.#connection.party,
      inTransit: 0,
      slots: () => (!this.#connection.reachable ? 0 : options.slots()),
      take: (item) => {
        if (this.#connection.reachable) this.#take(store, role, item, options);
      },
    };
    // A puller that came before its role's queue waits for it, as a pull request to the broker would.
    const join = (arrived: string): void => {
      if (arrived !== role) return;
      store.roleArrivals.delete(join);
      store.roles.get(role)?.queue.join(taker);
    };
    if (store.roles.has(role)) join(role);
    else store.roleArrivals.add(join);
    const leave = (): void => {
      store.roleArrivals.delete(join);
      store.roles.get(role)?.queue.leave(taker);
    };
    const wake = (): void => store.roles.get(role)?.queue.pump();
    const release = this.#connection.onClose(leave);
    const forget = this.#connection.onRestore(wake);
    return {
      wake,
      stop: async () => {
        release();
        forget();
        leave();
      },
    };
  }

  #take(store: SwarmStore, role: string, item: QueueItem, options: PullOptions<TaskDelivery>): void {
    const queue = store.roles.get(role)?.queue;
    if (queue === undefined) return;
    const setAside = (problem: string, newer?: number): void => {
      // A newer agent of the role can read what a newer daemon wrote.
      if (newer === undefined) queue.ack(item);
      else queue.nak(item, LEFT_TO_NEWER_MS);
      this.#connection.countUnreadable();
      options.onUnreadable?.({ subject: item.subject, problem });
    };
    const parsed = parseBody(taskSchema, item.bytes);
    if (!parsed.ok) {
      setAside(parsed.problem, parsed.newer);
      return;
    }
    if (store.subjects.task(parsed.value) !== item.subject) {
      setAside("the body names another dispatch");
      return;
    }
    const whileOpen = (act: () => void): void => {
      if (this.#connection.reachable) act();
    };
    options.onDelivery({
      task: parsed.value,
      deliveryCount: item.deliveries,
      receipt: `${item.subject}#${item.deliveries}`,
      ack: () => whileOpen(() => queue.ack(item)),
      nak: (delayMs) => whileOpen(() => queue.nak(item, delayMs)),
      working: () => whileOpen(() => queue.working(item)),
    });
  }

  async has(ref: DispatchRef): Promise<boolean> {
    const { store } = this.#connection.open();
    const subject = store.subjects.task(ref);
    return (
      store.roles.get(ref.role)?.queue.has(subject) ?? store.homeless.get(ref.role)?.has(subject) ?? false
    );
  }

  async isTaken(ref: DispatchRef): Promise<boolean> {
    const { store } = this.#connection.open();
    const subject = store.subjects.task(ref);
    if (store.homeless.get(ref.role)?.has(subject)) return false;
    return store.roles.get(ref.role)?.queue.isTaken(subject) ?? true;
  }

  async stored(from: number, limit: number): Promise<{ tasks: DispatchRef[]; next: number | undefined }> {
    const { store } = this.#connection.open();
    const all = [...store.roles.values()].flatMap(({ queue }) => [...queue.subjects()]);
    const page = all.slice(from, from + limit).flatMap((subject) => {
      const parsed = parseSubject(subject);
      return parsed?.is === "task" ? [parsed] : [];
    });
    const tasks = page.map(({ role, run, step, n }) => ({ role, run, step, n }));
    return { tasks, next: from + limit < all.length ? from + limit : undefined };
  }

  async remove(ref: DispatchRef): Promise<boolean> {
    const { store } = this.#connection.open();
    const subject = store.subjects.task(ref);
    return (
      store.roles.get(ref.role)?.queue.remove(subject) ??
      store.homeless.get(ref.role)?.delete(subject) ??
      false
    );
  }

  async ofRun(run: string): Promise<DispatchRef[]> {
    const { store } = this.#connection.open();
    store.subjects.tasksOfRun(run);
    const queues = [...store.roles.values()].map(({ queue }) => queue.subjects());
    const homeless = [...store.homeless.values()].map((waiting) => waiting.keys());
    return [...queues, ...homeless].flatMap((subjects) =>
      [...subjects].flatMap((subject) => {
        const parsed = parseSubject(subject);
        return parsed?.is === "task" && parsed.run === run ? [dispatchOf(parsed)] : [];
      }),
    );
  }

  async removeRun(run: string): Promise<number> {
    const { store } = this.#connection.open();
    store.subjects.tasksOfRun(run);
    let removed = 0;
    const ofRun = (subject: string): boolean => {
      const parsed = parseSubject(subject);
      return parsed?.is === "task" && parsed.run === run;
    };
    for (const { queue } of store.roles.values()) {
      for (const subject of [...queue.subjects()].filter(ofRun)) if (queue.remove(subject)) removed++;
    }
    for (const waiting of store.homeless.values()) {
      for (const subject of [...waiting.keys()].filter(ofRun)) if (waiting.delete(subject)) removed++;
    }
    return removed;
  }
}

function dispatchOf({ run, step, n, role }: DispatchRef): DispatchRef {
  return { run, step, n, role };
}

function invalidSettings(role: string, problem: string): InvalidInputError {
  return new InvalidInputError("E_ROLE", `The settings of role ${role} are not valid: ${problem}`, {
    remedy: "Give inFlight from 1, ackWaitMs from 1000, and encoding json or msgpack.",
    data: { role },
  });
}
