/**
 * The agent machine, state by event. Catches: a draining agent that takes work again, a reconnect that
 * forgets whether the agent had joined, a stopped agent that comes back.
 */
import { describe, expect, it } from "vitest";
import { initialTransition, transition } from "xstate";
import {
  AGENT_STATES,
  type AgentEvent,
  type AgentState,
  agentMachine,
  takesWork,
} from "../../src/machines/agent.ts";

type Start = { state: AgentState; joined: boolean };

function stateAfter(start: Start, event: AgentEvent): AgentState {
  const snapshot = agentMachine.resolveState({ value: start.state, context: { joined: start.joined } });
  return transition(agentMachine, snapshot, event)[0].value;
}

const EVENTS = ["joined", "disconnected", "reconnected", "drain", "drained", "stop"] as const;

/** What each event makes of each state; what is not listed changes nothing. */
const MOVES: Record<AgentState, Partial<Record<AgentEvent["type"], AgentState>>> = {
  starting: { joined: "serving", disconnected: "disconnected", drain: "draining", stop: "stopped" },
  serving: { disconnected: "disconnected", drain: "draining", stop: "stopped" },
  disconnected: { reconnected: "serving", drain: "draining", stop: "stopped" },
  draining: { drained: "stopped", stop: "stopped" },
  stopped: {},
};

describe("the agent machine", () => {
  it("begins by starting", () => {
    expect(initialTransition(agentMachine)[0].value).toBe("starting");
  });

  for (const state of AGENT_STATES) {
    for (const type of EVENTS) {
      const target = MOVES[state][type];
      it(target ? `${state} becomes ${target} by "${type}"` : `${state} ignores "${type}"`, () => {
        expect(stateAfter({ state, joined: true }, { type })).toBe(target ?? state);
      });
    }
  }

  it("returns to starting after a disconnection when no daemon has answered yet", () => {
    expect(stateAfter({ state: "disconnected", joined: false }, { type: "reconnected" })).toBe("starting");
  });

  it("remembers across a disconnection that it has joined", () => {
    let [snapshot] = initialTransition(agentMachine);
    for (const type of ["joined", "disconnected", "reconnected"] as const) {
      [snapshot] = transition(agentMachine, snapshot, { type });
    }
    expect(snapshot.value).toBe("serving");
  });

  it("takes work while it starts and serves, and in no other state", () => {
    expect(AGENT_STATES.filter(takesWork)).toEqual(["starting", "serving"]);
  });

  it("is final once stopped", () => {
    const snapshot = agentMachine.resolveState({ value: "serving", context: { joined: true } });
    expect(transition(agentMachine, snapshot, { type: "stop" })[0].status).toBe("done");
  });
});
