/**
 * A role's queue as a durable pull consumer on the tasks stream, and its settings.
 *
 * What a consumer has no field for (the encoding) is kept as JSON in its description: metadata exists only
 * from 2.10 on, descriptions everywhere.
 */
import { InvalidInputError } from "../../workflow/errors.ts";
import type { RoleStatus } from "../bus.ts";
import { DEFAULT_ROLE_SETTINGS, type RoleSettings, roleSettingsSchema } from "../messages.ts";
import { ApiRefusal } from "./failure.ts";
import type { NatsLink } from "./link.ts";
import { nanos } from "./streams.ts";

export interface ConsumerInfo {
  name: string;
  config: { description?: string; ack_wait?: number; max_ack_pending?: number };
  delivered: { stream_seq: number };
  num_pending: number;
  num_ack_pending: number;
  num_redelivered: number;
}

/** Pull requests that may wait at a role's consumer over all agents. */
const MAX_WAITING_REQUESTS = 4_096;
/** A role's encoding is read again after this long; until then the known one is used. */
const ENCODING_FRESH_MS = 30_000;
/** A role without a queue is looked for again after this long. */
const ENCODING_UNKNOWN_MS = 2_000;

export class NatsRoles {
  readonly #link: NatsLink;
  readonly #encodings = new Map<string, { encoding: RoleSettings["encoding"]; until: number }>();
  /** As last told: a queue that the broker has lost is made anew as it was. */
  readonly #settings = new Map<string, RoleSettings>();
  readonly #refreshing = new Map<string, Promise<RoleSettings["encoding"]>>();

  constructor(link: NatsLink) {
    this.#link = link;
  }

  async ensure(settings: { role: string } & Partial<RoleSettings>): Promise<RoleSettings> {
    const { subjects } = this.#link;
    const filter = subjects.tasksOf(settings.role);
    const known = await this.read(settings.role);
    const checked = roleSettingsSchema.safeParse({
      ...DEFAULT_ROLE_SETTINGS,
      ...(known ?? this.#settings.get(settings.role)),
      ...withoutGaps(settings),
    });
    if (!checked.success) {
      const issue = checked.error.issues[0];
      throw new InvalidInputError(
        "E_ROLE",
        `The settings of role ${settings.role} are not valid: ${issue?.path.join(".")}: ${issue?.message}`,
        { remedy: "Give inFlight from 1, ackWaitMs from 1000, and encoding json or msgpack." },
      );
    }
    const wanted = checked.data;
    if (known === undefined || !sameSettings(known, wanted)) {
      await ensureConsumer(this.#link, subjects.tasksStream, {
        durable_name: wanted.role,
        description: JSON.stringify({ encoding: wanted.encoding }),
        filter_subject: filter,
        ack_wait: nanos(wanted.ackWaitMs),
        max_ack_pending: wanted.inFlight,
        max_waiting: MAX_WAITING_REQUESTS,
      });
    }
    this.#settings.set(wanted.role, wanted);
    this.#remember(wanted.role, wanted.encoding, ENCODING_FRESH_MS);
    return wanted;
  }

  /** @returns undefined when the role has no queue. */
  async read(role: string): Promise<RoleSettings | undefined> {
    const stream = this.#link.subjects.tasksStream;
    try {
      return this.learn(await this.#link.api<ConsumerInfo>(`CONSUMER.INFO.${stream}.${role}`));
    } catch (error) {
      if (error instanceof ApiRefusal && error.is("consumerNotFound")) return undefined;
      throw error;
    }
  }

  /** Keeps in mind what the broker tells of a role's queue. */
  learn(info: ConsumerInfo): RoleSettings {
    const settings = settingsOf(info);
    this.#settings.set(settings.role, settings);
    return settings;
  }

  /** The last task, by its sequence in the stream, that was handed to somebody; 0 for a role without a queue. */
  async handedOutTo(role: string): Promise<number> {
    const stream = this.#link.subjects.tasksStream;
    try {
      const info = await this.#link.api<ConsumerInfo>(`CONSUMER.INFO.${stream}.${role}`);
      return info.delivered.stream_seq;
    } catch (error) {
      if (error instanceof ApiRefusal && error.is("consumerNotFound")) return 0;
      throw error;
    }
  }

  async list(): Promise<RoleStatus[]> {
    const found: RoleStatus[] = [];
    for (;;) {
      const page = await this.#link.api<{ total: number; limit: number; consumers: ConsumerInfo[] | null }>(
        `CONSUMER.LIST.${this.#link.subjects.tasksStream}`,
        { offset: found.length },
      );
      for (const info of page.consumers ?? []) {
        found.push({
          ...this.learn(info),
          queued: info.num_pending,
          held: info.num_ack_pending,
          redelivered: info.num_redelivered,
        });
      }
      if (found.length >= page.total || (page.consumers ?? []).length === 0) return found;
    }
  }

  /** The encoding of a role's tasks: known at once after the first time, refreshed behind the caller's back. */
  encoding(role: string): RoleSettings["encoding"] | Promise<RoleSettings["encoding"]> {
    const known = this.#encodings.get(role);
    if (known !== undefined && known.until > this.#link.clock.monotonic()) return known.encoding;
    const refreshed = this.#refresh(role);
    if (known === undefined) return refreshed;
    // Whoever pushes meanwhile uses what is known; a failed refresh is tried again by the next push.
    refreshed.then(undefined, () => undefined);
    return known.encoding;
  }

  #refresh(role: string): Promise<RoleSettings["encoding"]> {
    const running = this.#refreshing.get(role);
    if (running !== undefined) return running;
    const refresh = this.read(role)
      .then((settings) => {
        const encoding = settings?.encoding ?? DEFAULT_ROLE_SETTINGS.encoding;
        this.#remember(role, encoding, settings === undefined ? ENCODING_UNKNOWN_MS : ENCODING_FRESH_MS);
        return encoding;
      })
      .finally(() => this.#refreshing.delete(role));
    this.#refreshing.set(role, refresh);
    return refresh;
  }

  #remember(role: string, encoding: RoleSettings["encoding"], freshMs: number): void {
    this.#encodings.set(role, { encoding, until: this.#link.clock.monotonic() + freshMs });
  }
}

/** Creates a durable pull consumer, or changes it in place. */
export async function ensureConsumer(
  link: NatsLink,
  stream: string,
  config: { durable_name: string; [option: string]: unknown },
): Promise<void> {
  await link.api(`CONSUMER.DURABLE.CREATE.${stream}.${config.durable_name}`, {
    stream_name: stream,
    config: {
      ack_policy: "explicit",
      deliver_policy: "all",
      replay_policy: "instant",
      // A poisonous task is the host's to recognise: a bound here would leave it stuck and undeliverable.
      max_deliver: -1,
      ...config,
    },
  });
}

function settingsOf(info: ConsumerInfo): RoleSettings {
  const { config } = info;
  return {
    role: info.name,
    encoding: encodingIn(config.description),
    inFlight: config.max_ack_pending ?? DEFAULT_ROLE_SETTINGS.inFlight,
    ackWaitMs: Math.round((config.ack_wait ?? 0) / 1_000_000),
  };
}

/** A consumer that another program made has any description. */
function encodingIn(description: string | undefined): RoleSettings["encoding"] {
  try {
    const parsed: unknown = JSON.parse(description ?? "null");
    const checked = roleSettingsSchema.pick({ encoding: true }).safeParse(parsed);
    return checked.success ? checked.data.encoding : DEFAULT_ROLE_SETTINGS.encoding;
  } catch {
    return DEFAULT_ROLE_SETTINGS.encoding;
  }
}

function sameSettings(left: RoleSettings, right: RoleSettings): boolean {
  return (
    left.encoding === right.encoding && left.inFlight === right.inFlight && left.ackWaitMs === right.ackWaitMs
  );
}

/** A setting given as `undefined` is not given. */
function withoutGaps<Value extends object>(value: Value): Value {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as Value;
}
