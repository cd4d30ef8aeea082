/**
 * Who is here, through the NATS services framework: any NATS tool can list the agents as well. The card
 * travels as JSON in the service's metadata, the numbers of the moment in the statistics.
 */
import { type Service, Svcm } from "@nats-io/services";
import { InvalidInputError } from "../../workflow/errors.ts";
import type { KeepAlive, PresenceBoard, PresenceStats } from "../bus.ts";
import { type AgentPresence, agentPresenceSchema } from "../messages.ts";
import type { NatsKeepAlive } from "./keep-alive.ts";
import type { NatsLink } from "./link.ts";
import { AGENT_SERVICE, type ServiceWords } from "./stand-in.ts";

const DEFAULT_WAIT_MS = 1_000;
/** No further answer for this long: everybody has answered. */
const STALL_MS = 150;
/** A service's version must be semantic; an agent's own version travels in its card. */
const SEMANTIC_VERSION = /^\d+\.\d+\.\d+/;

export class NatsPresence implements PresenceBoard {
  readonly #link: NatsLink;

  constructor(link: NatsLink) {
    this.#link = link;
  }

  announce(
    card: Omit<AgentPresence, keyof PresenceStats>,
    stats: () => PresenceStats,
    keepAlive?: KeepAlive,
  ): Promise<{ withdraw(): Promise<void> }> {
    return this.#link.guard(`Announcing agent ${card.id}`, async () => {
      const text = JSON.stringify(card);
      const bound = Math.floor(this.#link.maxPayloadBytes / 2);
      if (text.length > bound) {
        throw new InvalidInputError(
          "E_PAYLOAD_TOO_LARGE",
          `The card of agent ${card.id} has ${text.length} bytes, the bound is ${bound}`,
          {
            remedy: "Shorten the descriptions and schemas of its tasks, or serve fewer roles in one process.",
          },
        );
      }
      const service = await new Svcm(this.#link.nc).add({
        name: AGENT_SERVICE,
        version: SEMANTIC_VERSION.test(card.version) ? card.version : "0.0.0",
        description: card.roles.map(({ role }) => role).join(", "),
        metadata: { swarm: this.#link.subjects.swarm, card: text },
        // Every agent answers for itself.
        queue: "",
        statsHandler: async () => stats(),
      });
      // Statistics belong to endpoints, so there is one; it answers with the same numbers.
      service.addEndpoint("status", {
        subject: `dh.${this.#link.subjects.swarm}.agent.${this.#link.newInbox().split(".").at(-1)}`,
        handler: (error, message) => {
          if (error === null) message.respond(JSON.stringify(stats()));
        },
      });
      const standIn = hasThread(keepAlive) ? keepAlive.standInFor(await wordsOf(service), stats) : undefined;
      return this.#announced(service, standIn);
    });
  }

  #announced(service: Service, endStandIn = () => {}): { withdraw(): Promise<void> } {
    const stop = async (): Promise<void> => {
      forget();
      endStandIn();
      if (!service.isStopped && this.#link.status === "connected") await service.stop();
    };
    const forget = this.#link.onClose(stop);
    return { withdraw: stop };
  }

  list(timeoutMs: number = DEFAULT_WAIT_MS): Promise<AgentPresence[]> {
    return this.#link.guard("Listing agents", async () => {
      // An agent whose loop was blocked until now answers a second time.
      const found = new Map<string, AgentPresence>();
      await this.#link.gather(
        `$SRV.STATS.${AGENT_SERVICE}`,
        { maxWaitMs: timeoutMs, stallMs: STALL_MS },
        (message) => {
          const agent = this.#read(message.string());
          if (agent !== undefined) found.set(agent.id, agent);
        },
      );
      return [...found.values()].sort(
        (left, right) => left.startedAt - right.startedAt || (left.id < right.id ? -1 : 1),
      );
    });
  }

  #read(text: string): AgentPresence | undefined {
    try {
      const answer: { metadata?: Record<string, string>; endpoints?: { data?: object }[] } = JSON.parse(text);
      if (answer.metadata?.swarm !== this.#link.subjects.swarm) return undefined;
      const card: object = JSON.parse(answer.metadata.card ?? "null");
      return agentPresenceSchema.parse({ ...card, ...answer.endpoints?.[0]?.data });
    } catch {
      this.#link.countUnreadable();
      return undefined;
    }
  }
}

function hasThread(keepAlive: KeepAlive | undefined): keepAlive is NatsKeepAlive {
  return keepAlive !== undefined && "standInFor" in keepAlive;
}

async function wordsOf(service: Service): Promise<ServiceWords> {
  const { id } = service.info();
  const [PING, INFO, STATS] = [service.ping(), service.info(), await service.stats()].map((word) =>
    JSON.stringify(word),
  ) as [string, string, string];
  return { id, PING, INFO, STATS };
}
