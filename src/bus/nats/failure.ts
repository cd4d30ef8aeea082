/** Vendor errors and server refusals, turned into the runtime's own. Nothing of NATS leaves the adapter. */
import { DataHammerError, InvalidInputError, UnreachableError } from "../../workflow/errors.ts";

/** Error codes of the JetStream API that the adapter acts upon, as every supported server numbers them. */
export const API_CODE = {
  accountLimit: 10002,
  clusterNotAvailable: 10008,
  insufficientResources: 10023,
  memoryExceeded: 10028,
  storageExceeded: 10047,
  noPeers: 10005,
  consumerNotFound: 10014,
  nameInUse: 10058,
  messageNotFound: 10037,
  streamNotFound: 10059,
  wrongLastSequence: 10071,
  wrongLastSequenceUnknown: 10164,
  /** One code for everything that a stream's store refuses; the description tells which. */
  notStored: 10077,
} as const;

/** A refusal by the JetStream API: an answer, so the server is there. */
export class ApiRefusal extends Error {
  readonly errCode: number;
  readonly status: number;

  constructor(subject: string, error: { code?: number; err_code?: number; description?: string }) {
    super(
      `${subject} was refused: ${error.description ?? "no description"} (${error.err_code ?? error.code})`,
    );
    this.name = "ApiRefusal";
    this.errCode = error.err_code ?? 0;
    this.status = error.code ?? 0;
  }

  is(code: keyof typeof API_CODE): boolean {
    return this.errCode === API_CODE[code];
  }

  /** The subject has its one message already (B3). */
  get isPresent(): boolean {
    return this.is("notStored") && /per subject/.test(this.message);
  }

  /** There is no room: a limit of the stream, the account or the server, or the disk. */
  get isFull(): boolean {
    if (this.is("notStored")) return !this.isPresent;
    return NO_ROOM.some((code) => this.is(code));
  }
}

const NO_ROOM = ["accountLimit", "insufficientResources", "memoryExceeded", "storageExceeded"] as const;

/**
 * Whether a failure is that of a cluster without a leader, which passes: said so, not enough servers seen yet, or
 * no answer at all. The vendor's own stores say it in the same words.
 */
export function isLeaderless(error: unknown): boolean {
  if (error instanceof ApiRefusal) return error.is("clusterNotAvailable") || error.is("noPeers");
  if (error instanceof UnreachableError)
    return error.code === "E_TIMEOUT" || error.code === "E_CONNECTION_LOST";
  return error instanceof Error && /temporarily unavailable|no suitable peers|timeout/i.test(error.message);
}

const START_A_DAEMON = "Start a daemon: datahammer up";

/** No stream takes the message, or none is there to be asked. */
export function noSwarm(swarm: string, what: string, cause?: unknown): UnreachableError {
  return new UnreachableError("E_NO_SWARM", `Swarm ${swarm} is not set up on this broker: ${what}`, {
    remedy: START_A_DAEMON,
    data: { swarm },
    cause,
  });
}

export function timedOut(what: string, timeoutMs: number): UnreachableError {
  return new UnreachableError("E_TIMEOUT", `${what} got no answer within ${timeoutMs} ms`, {
    remedy: "Check that the broker runs and is not overloaded: datahammer doctor",
    data: { timeoutMs },
  });
}

export function connectionLost(what: string): UnreachableError {
  return new UnreachableError(
    "E_CONNECTION_LOST",
    `The connection to the broker broke before ${what} was answered`,
    {
      remedy: "Try again: the connection is being re-established.",
    },
  );
}

export function closedBus(): UnreachableError {
  return new UnreachableError("E_CLOSED", "The connection to the bus is closed", {
    remedy: "Connect again.",
  });
}

function brokerFull(what: string, refusal: ApiRefusal): UnreachableError {
  return new UnreachableError("E_BROKER_FULL", `${what}: the broker has no room: ${refusal.message}`, {
    remedy:
      "Make room: datahammer purge, a larger disk, or a higher limit of the stream or account. Runs then go on by themselves; a command that was refused is to be given again.",
    cause: refusal,
  });
}

/** Whatever an adapter's call threw, as an error that callers know. */
export function asBusError(error: unknown, swarm: string, what: string): DataHammerError {
  if (error instanceof DataHammerError) return error;
  if (error instanceof ApiRefusal && error.isFull) return brokerFull(what, error);
  if (error instanceof ApiRefusal && error.is("streamNotFound")) return noSwarm(swarm, error.message, error);
  // The vendor's own stores name an absent stream in two ways: refused, or not listened to.
  if (
    error instanceof Error &&
    /^(StreamNotFoundError|NoRespondersError|JetStreamNotEnabled)$/.test(error.name)
  ) {
    return noSwarm(swarm, error.message, error);
  }
  const message = error instanceof Error ? error.message : String(error);
  if (/authorization|permission/i.test(message)) {
    return new InvalidInputError("E_NOT_ALLOWED", `${what}: the broker refused it: ${message}`, {
      remedy: "Give a token or a credentials file with the rights that this needs.",
      cause: error,
    });
  }
  return new UnreachableError("E_BROKER", `${what}: ${message}`, {
    remedy: "Check the broker: datahammer doctor",
    cause: error,
  });
}
