/**
 * Looking after the copies of a swarm's queues in a cluster, and helping those that do not heal by themselves.
 *
 * Owns what was seen of each durable consumer: its copies' condition and its settings. When to help is decided in
 * consumer-group.ts. Consumers of replays are no concern: they are kept once, and made anew where they fall silent.
 *
 *  - Q1 A consumer is helped by declaring it again with exactly the settings that it has. That changes nothing on
 *    servers that have it, and one that has dropped out takes its copy up. Several daemons may do it at once.
 *  - Q2 One that has no leader, and gets none by that, is made anew. Its stream keeps every message that was not
 *    acked, so nothing is lost; what was in somebody's hands is given out again, and is asked about first.
 */
import { UnreachableError } from "../../workflow/errors.ts";
import type { QueueTrouble } from "../bus.ts";
import {
  assess,
  type Copies,
  type GroupCondition,
  type Help,
  PATIENCE_LOOKS,
  sightOf,
  WHOLE,
} from "./consumer-group.ts";
import { ApiRefusal } from "./failure.ts";
import type { NatsLink } from "./link.ts";
import type { ConsumerInfo, NatsRoles } from "./roles.ts";

interface ConsumerRef {
  stream: string;
  consumer: string;
}

interface Known {
  condition: GroupCondition;
  /** As last told; a consumer without a leader does not tell it. */
  config: object | undefined;
}

/** What a group without a leader is asked may never be answered, and is done all the same. */
const HELP_TIMEOUT_MS = 5_000;

export class QueueGroups {
  readonly #link: NatsLink;
  readonly #roles: NatsRoles;
  #known = new Map<string, Known>();

  constructor(link: NatsLink, roles: NatsRoles) {
    this.#link = link;
    this.#roles = roles;
  }

  /** One look at every queue, one after the other. On a server of its own there is nothing to look at. */
  async tend(): Promise<QueueTrouble[]> {
    if (this.#link.nc.info?.cluster === undefined) return [];
    return this.#link.guard("Looking after the queues", async () => {
      const seen = new Map<string, Known>();
      const troubles: QueueTrouble[] = [];
      for (const ref of await this.#consumers()) {
        const key = `${ref.stream}.${ref.consumer}`;
        const known = await this.#look(ref, this.#known.get(key) ?? { condition: WHOLE, config: undefined });
        if (known === undefined) continue;
        seen.set(key, known);
        const trouble = troubleOf(ref, known);
        if (trouble !== undefined) troubles.push(trouble);
      }
      this.#known = seen;
      return troubles;
    });
  }

  /** The log's two and the runs' two have fixed names; on the tasks stream every role has one. */
  async #consumers(): Promise<ConsumerRef[]> {
    const { subjects } = this.#link;
    const { logStream, orchestrateStream, tasksStream: stream } = subjects;
    const roles: ConsumerRef[] = [];
    for (;;) {
      const page = await this.#link.api<{ total: number; consumers: string[] | null }>(
        `CONSUMER.NAMES.${stream}`,
        { offset: roles.length },
      );
      const names = page.consumers ?? [];
      roles.push(...names.map((consumer) => ({ stream, consumer })));
      if (names.length === 0 || roles.length >= page.total) break;
    }
    return [
      { stream: logStream, consumer: subjects.submitConsumer },
      { stream: logStream, consumer: subjects.controlConsumer },
      { stream: orchestrateStream, consumer: subjects.orchestrateConsumer },
      { stream: orchestrateStream, consumer: subjects.timerConsumer },
      ...roles,
    ];
  }

  /** @returns undefined for a consumer that is not there: whoever pulls from it makes it anew */
  async #look(ref: ConsumerRef, known: Known): Promise<Known | undefined> {
    const told = await this.#info(ref);
    if (told === "missing") return undefined;
    if (told === "silent") return known;
    const info = told === "leaderless" ? undefined : told;
    if (info !== undefined && ref.stream === this.#link.subjects.tasksStream) this.#roles.learn(info);
    const config = info?.config ?? known.config;
    if (isWhole(info?.cluster)) return { condition: WHOLE, config };
    const stream = await this.#link.api<{ cluster?: Copies }>(`STREAM.INFO.${ref.stream}`);
    const { help, condition } = assess(known.condition, sightOf(info?.cluster, stream.cluster ?? {}));
    if (help !== undefined && config !== undefined) await this.#help(ref, config, help);
    return { condition, config };
  }

  async #info({ stream, consumer }: ConsumerRef) {
    try {
      return await this.#link.api<ConsumerInfo & { cluster?: Copies }>(`CONSUMER.INFO.${stream}.${consumer}`);
    } catch (error) {
      if (!(error instanceof ApiRefusal)) return "silent";
      if (error.is("consumerNotFound")) return "missing";
      return error.is("clusterNotAvailable") ? "leaderless" : "silent";
    }
  }

  async #help({ stream, consumer }: ConsumerRef, config: object, help: Help): Promise<void> {
    const body = { stream_name: stream, config };
    try {
      if (help === "anew") await this.#remove(stream, consumer);
      await this.#link.api(`CONSUMER.DURABLE.CREATE.${stream}.${consumer}`, body, HELP_TIMEOUT_MS);
    } catch {
      // Whether it helped is what the next looks find out; no other answer is worth more.
    }
  }

  /** Without a leader it is removed and nobody says so. */
  async #remove(stream: string, consumer: string): Promise<void> {
    try {
      await this.#link.api(`CONSUMER.DELETE.${stream}.${consumer}`, undefined, HELP_TIMEOUT_MS);
    } catch (error) {
      if (!(error instanceof UnreachableError && error.code === "E_TIMEOUT")) throw error;
    }
  }
}

/** Without a second question: the usual answer. */
function isWhole(copies: Copies | undefined): boolean {
  return Boolean(copies?.leader) && (copies?.replicas ?? []).every(({ current }) => current);
}

function troubleOf({ consumer: queue }: ConsumerRef, { condition }: Known): QueueTrouble | undefined {
  const { sight, looks, helped } = condition;
  if (sight.is === "whole" || (looks < PATIENCE_LOOKS[sight.is] && helped === 0)) return undefined;
  if (sight.is === "leaderless") {
    const reason = `queue ${queue} gives nothing out: too few of the servers that keep it take part in it`;
    return { queue, kind: "stalled", reason, helped };
  }
  const servers = [...sight.lags.keys()].join(", ");
  const reason = `queue ${queue} is not kept by ${servers}: it would stall with the next server that dies`;
  return { queue, kind: "thinned", reason, helped };
}
