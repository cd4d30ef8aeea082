/** What a connection to a server tells about it: for people who look for what is wrong. */
import type { Clock } from "../bus.ts";
import { NatsLink } from "./link.ts";

export interface ExaminationTarget {
  url: string;
  token?: string;
  creds?: string;
  swarm: string;
  clock: Clock;
}

export interface Examination {
  serverVersion: string;
  roundTripMs: number;
  /** Why JetStream cannot be used; undefined: it can. */
  jetstreamProblem?: string;
  /** Subjects that this connection may not use although the runtime needs them. */
  missingRights: string[];
}

const TRIES = 3;

/** @throws UnreachableError when no server answers; InvalidInputError when it refuses the secret */
export async function examineServer(target: ExaminationTarget): Promise<Examination> {
  const { url, token, creds, swarm, clock } = target;
  const link = await NatsLink.open({
    url,
    token,
    creds,
    swarm,
    clock,
    name: "datahammer-doctor",
    inboxPrefix: undefined,
  });
  try {
    const roundTrips: number[] = [];
    for (let round = 0; round < TRIES; round++) {
      const sent = clock.monotonic();
      await link.nc.flush();
      roundTrips.push(clock.monotonic() - sent);
    }
    const serverVersion = link.nc.info?.version ?? "unknown";
    const roundTripMs = Math.min(...roundTrips);
    try {
      await link.request("$JS.API.INFO", "");
      return { serverVersion, roundTripMs, missingRights: [] };
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      const denied = /permission/i.test(problem);
      return denied
        ? { serverVersion, roundTripMs, missingRights: ["$JS.API.>"] }
        : { serverVersion, roundTripMs, missingRights: [], jetstreamProblem: problem };
    }
  } finally {
    await link.close();
  }
}
