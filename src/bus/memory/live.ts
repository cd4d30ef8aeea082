/** Core messages of the memory bus: to who listens now; questions answered by the first who answers. */
import type { z } from "zod";
import type { LiveChannel, Subscription } from "../bus.ts";
import { assertFits, encodeBody, parseBody } from "../codec.ts";
import {
  type Answer,
  answerSchema,
  cancelReplySchema,
  cancelRequestSchema,
  type DispatchRef,
  type EnvChangeMessage,
  envChangeSchema,
  type HandoffHopMessage,
  type HelloMessage,
  type HelloReply,
  handoffHopSchema,
  helloReplySchema,
  helloSchema,
  type LiveMessage,
  liveSchema,
  type Question,
  questionSchema,
} from "../messages.ts";
import { type ParsedSubject, parseSubject, type Subjects } from "../subjects.ts";
import type { MemoryConnection } from "./connection.ts";
import type { CoreListener } from "./store.ts";

type Reply = ((bytes: Uint8Array) => void) | undefined;

export class MemoryLive implements LiveChannel {
  readonly #connection: MemoryConnection;

  constructor(connection: MemoryConnection) {
    this.#connection = connection;
  }

  publish(message: LiveMessage & { role: string }): void {
    this.#send(message, (subjects) => subjects.live(message.role, message.run, message.step));
  }

  publishEnv(change: EnvChangeMessage): void {
    this.#send(change, (subjects) => subjects.env(change.run, change.key));
  }

  publishHandoff(hop: HandoffHopMessage): void {
    this.#send(hop, (subjects) => subjects.handoff(hop.run, hop.step));
  }

  onLive(run: string | undefined, listener: (message: LiveMessage & { role: string }) => void): Subscription {
    return this.#listen("live", liveSchema, (message, subject) => {
      if (subject.is === "live" && (run === undefined || subject.run === run)) {
        listener({ ...message, role: subject.role });
      }
    });
  }

  onEnv(run: string | undefined, listener: (change: EnvChangeMessage) => void): Subscription {
    return this.#listen("env", envChangeSchema, (change) => {
      if (run === undefined || change.run === run) listener(change);
    });
  }

  onHandoff(run: string | undefined, listener: (hop: HandoffHopMessage) => void): Subscription {
    return this.#listen("handoff", handoffHopSchema, (hop) => {
      if (run === undefined || hop.run === run) listener(hop);
    });
  }

  async cancel(ref: DispatchRef, reason: string, timeoutMs: number): Promise<boolean> {
    const { store } = this.#connection.open();
    const reply = await this.#request(store.subjects.cancel(ref), { reason }, cancelReplySchema, timeoutMs);
    return reply?.ok ?? false;
  }

  onCancel(
    role: string,
    listener: (ref: DispatchRef, reason: string) => Promise<boolean> | undefined,
  ): Subscription {
    return this.#serve("cancel", cancelRequestSchema, ({ reason }, subject) => {
      if (subject.is !== "cancel" || subject.role !== role) return undefined;
      return listener(refOf(subject), reason)?.then((ok) => ({ ok }));
    });
  }

  async ask(ref: DispatchRef, question: Question, timeoutMs: number): Promise<Answer | undefined> {
    const { store } = this.#connection.open();
    return this.#request(store.subjects.ask(ref), question, answerSchema, timeoutMs);
  }

  onAsk(
    listener: (ref: DispatchRef, question: Question) => Promise<Answer | undefined> | undefined,
  ): Subscription {
    return this.#serve("ask", questionSchema, (question, subject) =>
      subject.is === "ask" ? listener(refOf(subject), question) : undefined,
    );
  }

  async hello(message: HelloMessage, timeoutMs: number): Promise<HelloReply | undefined> {
    const { store } = this.#connection.open();
    return this.#request(store.subjects.hello, message, helloReplySchema, timeoutMs);
  }

  onHello(listener: (message: HelloMessage) => Promise<HelloReply>): Subscription {
    return this.#serve("hello", helloSchema, (message) => listener(message));
  }

  #send(message: unknown, subjectIn: (subjects: Subjects) => string): void {
    // What is sent on a connection that is cut is lost: nobody waits for a live message.
    if (this.#connection.status === "reconnecting") return;
    const { store } = this.#connection.open();
    const subject = subjectIn(store.subjects);
    const bytes = encodeBody(message);
    assertFits(bytes, store.maxPayloadBytes, `The message on ${subject}`);
    store.publish(subject, bytes, undefined);
  }

  #listen<Schema extends z.ZodType>(
    family: ParsedSubject["is"],
    schema: Schema,
    receive: (message: z.output<Schema>, subject: ParsedSubject, reply: Reply) => void,
  ): Subscription {
    const { store } = this.#connection.attach();
    const listener: CoreListener = {
      family,
      party: this.#connection.party,
      listen: (text, bytes, reply) => {
        if (!this.#connection.reachable) return;
        const subject = parseSubject(text);
        const parsed = parseBody(schema, bytes);
        if (parsed.ok && subject !== undefined) receive(parsed.value, subject, reply);
        else this.#connection.countUnreadable();
      },
    };
    store.coreListeners.add(listener);
    const close = (): void => {
      store.coreListeners.delete(listener);
      release();
    };
    const release = this.#connection.onClose(close);
    return { close };
  }

  #serve<Schema extends z.ZodType>(
    family: ParsedSubject["is"],
    schema: Schema,
    serve: (message: z.output<Schema>, subject: ParsedSubject) => Promise<unknown> | undefined,
  ): Subscription {
    return this.#listen(family, schema, (message, subject, reply) => {
      // A listener that fails has not answered: the asker's time-out speaks for it.
      serve(message, subject)?.then(
        (answer) => answer !== undefined && this.#connection.reachable && reply?.(encodeBody(answer)),
        () => undefined,
      );
    });
  }

  #request<Schema extends z.ZodType>(
    subject: string,
    message: unknown,
    schema: Schema,
    timeoutMs: number,
  ): Promise<z.output<Schema> | undefined> {
    const { store } = this.#connection.open();
    return new Promise((resolve) => {
      let timer: unknown;
      const finish = (answer: z.output<Schema> | undefined): void => {
        this.#connection.clock.clearTimeout(timer);
        release();
        resolve(answer);
      };
      const release = this.#connection.onClose(() => finish(undefined));
      const reached = store.publish(subject, encodeBody(message), (bytes) => {
        store.deliver({ kind: "core", subject, to: this.#connection.party }, () => {
          if (!this.#connection.reachable) return;
          const parsed = parseBody(schema, bytes);
          if (parsed.ok) finish(parsed.value);
          else this.#connection.countUnreadable();
        });
      });
      if (reached === 0) finish(undefined);
      else timer = this.#connection.clock.setTimeout(() => finish(undefined), timeoutMs);
    });
  }
}

function refOf(subject: DispatchRef): DispatchRef {
  return { role: subject.role, run: subject.run, step: subject.step, n: subject.n };
}
