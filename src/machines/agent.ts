/**
 * The agent machine: the life of one agent process in its swarm.
 *
 *     starting → serving → draining → stopped
 *                  ↕
 *             disconnected
 *
 * It owns where the process stands. It does not own tasks, connections or timers: the host sends the
 * events and acts on the states. Pure, like the other machines: `transition` alone drives it.
 *
 *  - A1 New work is asked for while `starting` or `serving` only; a draining agent never takes more.
 *  - A2 Losing the broker ends nothing: running tasks go on, their results wait, and the agent returns to
 *    where it was.
 *  - A3 `stopped` is final.
 */
import { assign, setup } from "xstate";

export const AGENT_STATES = ["starting", "serving", "disconnected", "draining", "stopped"] as const;
export type AgentState = (typeof AGENT_STATES)[number];

export interface AgentContext {
  /** Whether a daemon has answered since the start. */
  joined: boolean;
}

export type AgentEvent =
  /** A daemon knows the agent's roles, and their queues exist. */
  | { type: "joined" }
  /** The broker is out of reach. */
  | { type: "disconnected" }
  | { type: "reconnected" }
  /** Take no more work, finish what runs. */
  | { type: "drain" }
  /** Nothing runs any more. */
  | { type: "drained" }
  /** Stop now, whatever runs. */
  | { type: "stop" };

export const agentMachine = setup({
  types: { context: {} as AgentContext, events: {} as AgentEvent },
  guards: { hasJoined: ({ context }) => context.joined },
  actions: { rememberJoined: assign({ joined: true }) },
}).createMachine({
  id: "agent",
  initial: "starting",
  context: { joined: false },
  on: { stop: { target: ".stopped", description: "At once, whatever runs." } },
  states: {
    starting: {
      description: "Connected, and known to no daemon yet. Asks for work (A1).",
      on: {
        joined: {
          target: "serving",
          actions: "rememberJoined",
          description: "A daemon knows its roles, and their queues are there.",
        },
        disconnected: { target: "disconnected", description: "The broker is out of reach." },
        drain: { target: "draining", description: "Takes no more work." },
      },
    },
    serving: {
      description: "Asks for work and does it (A1).",
      on: {
        disconnected: { target: "disconnected", description: "The broker is out of reach." },
        drain: { target: "draining", description: "Takes no more work." },
      },
    },
    disconnected: {
      description: "What runs goes on, and results wait (A2).",
      on: {
        reconnected: [
          { guard: "hasJoined", target: "serving", description: "Back, and known." },
          { target: "starting", description: "Back, and still to be known." },
        ],
        drain: { target: "draining", description: "Takes no more work." },
      },
    },
    draining: {
      description: "Finishes what runs.",
      on: { drained: { target: "stopped", description: "Nothing runs any more." } },
    },
    stopped: { type: "final", description: "Gone for good (A3)." },
  },
});

/** Whether an agent in this state asks for new work (A1). */
export function takesWork(state: AgentState): boolean {
  return state === "starting" || state === "serving";
}
