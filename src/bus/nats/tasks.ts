/** The roles' work queues on the tasks stream: one subject per dispatch, at most one message on it (B3). */
import type { KeepAlive, Puller, PullOptions, RoleStatus, TaskDelivery, TaskQueue } from "../bus.ts";
import { assertFits, encodeBody, parseBody } from "../codec.ts";
import { type DispatchRef, type RoleSettings, type TaskMessage, taskSchema } from "../messages.ts";
import { parseSubject } from "../subjects.ts";
import { startKeepAlive } from "./keep-alive.ts";
import type { NatsLink } from "./link.ts";
import { publishOnce } from "./publish.ts";
import { pullFrom } from "./pull.ts";
import { ACK, nak, type PulledMessage, TERM, WORKING } from "./receipt.ts";
import { removeOneByOne } from "./remove.ts";
import type { NatsRoles } from "./roles.ts";
import { storedSubjects } from "./stored-subjects.ts";

/** A task that only a newer agent can read is offered again after this. */
const LEFT_TO_NEWER_MS = 30_000;

export class NatsTasks implements TaskQueue {
  readonly #link: NatsLink;
  readonly #roles: NatsRoles;

  constructor(link: NatsLink, roles: NatsRoles) {
    this.#link = link;
    this.#roles = roles;
  }

  ensureRole(settings: { role: string } & Partial<RoleSettings>): Promise<RoleSettings> {
    return this.#link.guard(`Setting up role ${settings.role}`, () => this.#roles.ensure(settings));
  }

  roles(): Promise<RoleStatus[]> {
    return this.#link.guard("Listing roles", () => this.#roles.list());
  }

  push(task: TaskMessage): Promise<"queued" | "present"> {
    return this.#link.guard(`Pushing task ${task.run}/${task.step}/${task.n}`, async () => {
      const subject = this.#link.subjects.task(task);
      const encoding = this.#roles.encoding(task.role);
      const bytes = encodeBody(task, typeof encoding === "string" ? encoding : await encoding);
      assertFits(bytes, this.#link.maxPayloadBytes, `The task ${task.run}/${task.step}`);
      const { traceparent } = task;
      return publishOnce(this.#link, subject, bytes, traceparent === undefined ? undefined : { traceparent });
    });
  }

  pull(role: string, options: PullOptions<TaskDelivery>): Puller {
    this.#link.assertOpen();
    const { subjects } = this.#link;
    subjects.tasksOf(role);
    return pullFrom(this.#link, {
      stream: subjects.tasksStream,
      consumer: role,
      slots: options.slots,
      onMessage: (message) => this.#take(message, options),
      onMissing: () => options.onMissing?.(),
    });
  }

  /** A thread with a connection of its own, which begins to connect at once. */
  keepAlive(): KeepAlive {
    this.#link.assertOpen();
    const keepAlive = startKeepAlive(this.#link.settings, (receipt, word) => this.#link.send(receipt, word));
    this.#link.onClose(() => keepAlive.close());
    return keepAlive;
  }

  #take(message: PulledMessage, options: PullOptions<TaskDelivery>): void {
    const { receipt } = message;
    const parsed = parseBody(taskSchema, message.data);
    const problem = !parsed.ok
      ? parsed.problem
      : this.#link.subjects.task(parsed.value) !== message.subject
        ? "the body names another dispatch than the subject"
        : undefined;
    if (!parsed.ok || problem !== undefined) {
      // A newer agent of the role can read what a newer daemon wrote.
      const isNewer = !parsed.ok && parsed.newer !== undefined;
      this.#link.send(receipt, isNewer ? nak(LEFT_TO_NEWER_MS) : TERM);
      this.#link.countUnreadable();
      options.onUnreadable?.({ subject: message.subject, problem: problem ?? "unreadable" });
      return;
    }
    options.onDelivery({
      task: parsed.value,
      deliveryCount: message.deliveryCount,
      receipt,
      // The result is stored: an ack that is lost or late only makes the next holder ask.
      ack: () => this.#link.sendSoon(receipt, ACK),
      nak: (delayMs) => this.#link.send(receipt, nak(delayMs)),
      working: () => this.#link.send(receipt, WORKING),
    });
  }

  has(ref: DispatchRef): Promise<boolean> {
    const { tasksStream } = this.#link.subjects;
    return this.#link.guard("Looking for a task", async () => {
      const stored = await this.#link.storedMessage(tasksStream, {
        last_by_subj: this.#link.subjects.task(ref),
      });
      return stored !== undefined;
    });
  }

  isTaken(ref: DispatchRef): Promise<boolean> {
    const { tasksStream } = this.#link.subjects;
    return this.#link.guard("Looking for a task", async () => {
      const stored = await this.#link.storedMessage(tasksStream, {
        last_by_subj: this.#link.subjects.task(ref),
      });
      // A role's consumer hands its tasks out in the stream's order, the first time.
      return stored === undefined || stored.seq <= (await this.#roles.handedOutTo(ref.role));
    });
  }

  ofRun(run: string): Promise<DispatchRef[]> {
    const { subjects } = this.#link;
    return this.#link.guard(`Looking for tasks of run ${run}`, async () => {
      const found: DispatchRef[] = [];
      for await (const subject of storedSubjects(
        this.#link,
        subjects.tasksStream,
        subjects.tasksOfRun(run),
      )) {
        const parsed = parseSubject(subject);
        if (parsed?.is !== "task") continue;
        const { run: of, step, n, role } = parsed;
        found.push({ run: of, step, n, role });
      }
      return found;
    });
  }

  stored(from: number, limit: number): Promise<{ tasks: DispatchRef[]; next: number | undefined }> {
    const { tasksStream, allTasks } = this.#link.subjects;
    return this.#link.guard("Looking through the queues", async () => {
      const tasks: DispatchRef[] = [];
      let seq = Math.max(1, from);
      while (tasks.length < limit) {
        const message = await this.#link.storedMessage(tasksStream, { next_by_subj: allTasks, seq });
        if (message === undefined) return { tasks, next: undefined };
        seq = message.seq + 1;
        const parsed = parseSubject(message.subject);
        if (parsed?.is !== "task") continue;
        const { role, run, step, n } = parsed;
        tasks.push({ role, run, step, n });
      }
      return { tasks, next: seq };
    });
  }

  async remove(ref: DispatchRef): Promise<boolean> {
    return (await this.#removeAll(this.#link.subjects.task(ref))) > 0;
  }

  removeRun(run: string): Promise<number> {
    return this.#removeAll(this.#link.subjects.tasksOfRun(run));
  }

  #removeAll(filter: string): Promise<number> {
    return this.#link.guard("Removing tasks", () =>
      removeOneByOne(this.#link, this.#link.subjects.tasksStream, filter),
    );
  }
}
