/** Connecting a program to a swarm. */
import { randomInt } from "node:crypto";
import { userInfo } from "node:os";
import type { Bus, Clock } from "../bus/bus.ts";
import { systemClock } from "../bus/system-clock.ts";
import { InvalidInputError } from "../workflow/errors.ts";
import { BusSwarmClient } from "./bus-client.ts";
import type { SwarmClient } from "./swarm.ts";

const DEFAULT_SWARM = "main";

export type ConnectOptions = (
  | {
      /** A bus that is connected already; it stays open when the client is closed. */
      bus: Bus;
    }
  | {
      /** Of the broker, such as `nats://127.0.0.1:4222`. */
      url: string;
      token?: string;
      /** The text of a credentials file. */
      creds?: string;
      /** Default `main`. */
      swarm?: string;
      /** How this client is called on the broker. */
      name?: string;
    }
) & {
  /** Who submits and controls, as the log shows it. Default: the user's name. */
  by?: string;
  clock?: Clock;
  random?: () => number;
};

/**
 * Resolves with a client once the broker has answered.
 * @throws UnreachableError when it does not, InvalidInputError `E_URL` without a url
 */
export async function connectSwarm(options: ConnectOptions): Promise<SwarmClient> {
  const { by = userName(), clock = systemClock, random = systemRandom } = options;
  if ("bus" in options) return new BusSwarmClient({ bus: options.bus, clock, random, by, ownsBus: false });
  // JavaScript hands over whatever it has.
  if (typeof options.url !== "string" || options.url === "") {
    throw new InvalidInputError("E_URL", `connectSwarm needs the url of a broker, or a bus`, {
      remedy:
        'Give it like connectSwarm({ url: "nats://127.0.0.1:4222" }); broker.json in the store has a daemon\'s.',
    });
  }
  // Only who has no bus yet needs the NATS adapter, and loading it takes a tenth of a second.
  const { connectNatsBus } = await import("../bus/nats/bus.ts");
  const { url, token, creds, swarm = DEFAULT_SWARM, name = "client" } = options;
  const bus = await connectNatsBus({
    url,
    swarm,
    name,
    ...(token === undefined ? {} : { token }),
    ...(creds === undefined ? {} : { creds }),
  });
  return new BusSwarmClient({ bus, clock, random, by, ownsBus: true });
}

const RANDOM_STEPS = 2 ** 32;
const systemRandom = (): number => randomInt(RANDOM_STEPS) / RANDOM_STEPS;

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "unknown"; // A user id without an entry, as in many containers.
  }
}
