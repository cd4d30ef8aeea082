/** Core messages over NATS: to who listens now; questions as requests, answered by the first who answers. */
import type { Msg } from "nats";
import type { z } from "zod";
import { UnreachableError } from "../../workflow/errors.ts";
import type { LiveChannel, Subscription } from "../bus.ts";
import { assertFits, encodeBody, encodingOf, parseBody } from "../codec.ts";
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
import { type ParsedSubject, parseSubject } from "../subjects.ts";
import type { NatsLink } from "./link.ts";

export class NatsLive implements LiveChannel {
  readonly #link: NatsLink;

  constructor(link: NatsLink) {
    this.#link = link;
  }

  publish(message: LiveMessage & { role: string }): void {
    this.#publish(this.#link.subjects.live(message.role, message.run, message.step), message, "now");
  }

  publishEnv(change: EnvChangeMessage): void {
    this.#publish(this.#link.subjects.env(change.run, change.key), change, "soon");
  }

  publishHandoff(hop: HandoffHopMessage): void {
    this.#publish(this.#link.subjects.handoff(hop.run, hop.step), hop, "soon");
  }

  onLive(run: string | undefined, listener: (message: LiveMessage & { role: string }) => void): Subscription {
    return this.#listen(this.#link.subjects.liveOf(run), liveSchema, (message, subject) => {
      if (subject.is === "live") listener({ ...message, role: subject.role });
    });
  }

  onEnv(run: string | undefined, listener: (change: EnvChangeMessage) => void): Subscription {
    return this.#listen(this.#link.subjects.envOf(run), envChangeSchema, (change) => listener(change));
  }

  onHandoff(run: string | undefined, listener: (hop: HandoffHopMessage) => void): Subscription {
    return this.#listen(this.#link.subjects.handoffsOf(run), handoffHopSchema, (hop) => listener(hop));
  }

  async cancel(ref: DispatchRef, reason: string, timeoutMs: number): Promise<boolean> {
    const reply = await this.#request(
      this.#link.subjects.cancel(ref),
      { reason },
      cancelReplySchema,
      timeoutMs,
    );
    return reply?.ok ?? false;
  }

  onCancel(
    role: string,
    listener: (ref: DispatchRef, reason: string) => Promise<boolean> | undefined,
  ): Subscription {
    return this.#serve(this.#link.subjects.cancelsOf(role), cancelRequestSchema, ({ reason }, subject) =>
      subject.is === "cancel" ? listener(refOf(subject), reason)?.then((ok) => ({ ok })) : undefined,
    );
  }

  ask(ref: DispatchRef, question: Question, timeoutMs: number): Promise<Answer | undefined> {
    return this.#request(this.#link.subjects.ask(ref), question, answerSchema, timeoutMs);
  }

  onAsk(
    listener: (ref: DispatchRef, question: Question) => Promise<Answer | undefined> | undefined,
  ): Subscription {
    return this.#serve(this.#link.subjects.everyAsk, questionSchema, (question, subject) =>
      subject.is === "ask" ? listener(refOf(subject), question) : undefined,
    );
  }

  hello(message: HelloMessage, timeoutMs: number): Promise<HelloReply | undefined> {
    return this.#request(this.#link.subjects.hello, message, helloReplySchema, timeoutMs);
  }

  onHello(listener: (message: HelloMessage) => Promise<HelloReply>): Subscription {
    return this.#serve(this.#link.subjects.hello, helloSchema, (message) => listener(message));
  }

  #publish(subject: string, message: unknown, pace: "now" | "soon"): void {
    this.#link.assertOpen();
    const bytes = encodeBody(message);
    assertFits(bytes, this.#link.maxPayloadBytes, `The message on ${subject}`);
    if (pace === "soon") this.#link.sendSoon(subject, bytes);
    else this.#link.send(subject, bytes);
  }

  #listen<Schema extends z.ZodType>(
    pattern: string,
    schema: Schema,
    receive: (message: z.output<Schema>, subject: ParsedSubject, raw: Msg) => void,
  ): Subscription {
    this.#link.assertOpen();
    const subscription = this.#link.nc.subscribe(pattern, {
      callback: (error, raw) => {
        if (error !== null) return;
        const subject = parseSubject(raw.subject);
        const parsed = parseBody(schema, raw.data);
        if (parsed.ok && subject !== undefined) return receive(parsed.value, subject, raw);
        this.#link.countUnreadable();
        if (parsed.ok || parsed.newer === undefined || raw.reply === undefined) return;
        // Whoever asks in a newer version is told, instead of waiting for a time-out.
        this.#link.send(raw.reply, encodeBody({ ok: false, error: parsed.problem }, encodingOf(raw.data)));
      },
    });
    return { close: () => subscription.unsubscribe() };
  }

  #serve<Schema extends z.ZodType>(
    pattern: string,
    schema: Schema,
    serve: (message: z.output<Schema>, subject: ParsedSubject) => Promise<unknown> | undefined,
  ): Subscription {
    return this.#listen(pattern, schema, (message, subject, raw) => {
      const { reply } = raw;
      if (reply === undefined) return;
      // A listener that fails has not answered: the asker's time-out speaks for it.
      serve(message, subject)?.then(
        (answer) => {
          if (answer !== undefined) this.#link.send(reply, encodeBody(answer, encodingOf(raw.data)));
        },
        () => undefined,
      );
    });
  }

  async #request<Schema extends z.ZodType>(
    subject: string,
    message: unknown,
    schema: Schema,
    timeoutMs: number,
  ): Promise<z.output<Schema> | undefined> {
    this.#link.assertOpen();
    const bytes = encodeBody(message);
    assertFits(bytes, this.#link.maxPayloadBytes, `The request on ${subject}`);
    try {
      const reply = await this.#link.request(subject, bytes, timeoutMs);
      const parsed = parseBody(schema, reply.data);
      if (parsed.ok) return parsed.value;
      this.#link.countUnreadable();
      return undefined;
    } catch (error) {
      // Nobody listens, nobody answered, or the way to them broke: for the asker the same.
      if (error instanceof UnreachableError && error.code !== "E_CLOSED") return undefined;
      throw error;
    }
  }
}

function refOf({ role, run, step, n }: DispatchRef): DispatchRef {
  return { role, run, step, n };
}
