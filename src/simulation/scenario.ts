/**
 * What a simulated swarm is made of: its runs, who serves which roles and how, what people say.
 *
 * A scenario is plain knowledge about a world without faults; a seed says what goes wrong in it.
 */
import type { ShareWindow } from "../actors/role-shares.ts";
import type { RunPlanning } from "../actors/run-planning.ts";
import type { AgentDefinition, TaskContext } from "../agent/define.ts";
import type { Bus, Clock } from "../bus/bus.ts";
import type { RunOrigin, SubmitMessage } from "../bus/messages.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import type { Wish } from "./goals.ts";
import type { Language } from "./language.ts";
import type { People } from "./people.ts";
import type { Reference } from "./reference.ts";
import type { Party } from "./world.ts";

export interface ScenarioRun extends Wish {
  /** Undefined: it is planned from what is wanted, or said in words. */
  workflow?: WorkflowDocument;
  inputs: Record<string, unknown>;
  environment: Record<string, unknown>;
  timeout?: string;
  /** How long people are asked about a failure of a planned run. */
  ask?: string;
  budget?: NonNullable<WorkflowDocument["budget"]>;
  /** What it takes over from another run. */
  origin?: RunOrigin;
}

/** One agent process. */
export interface Seat {
  roles: readonly string[];
  concurrency: number;
}

/** What a simulated task can do besides what every task can. */
export interface CrewScene {
  /** How many processes the step has ended so far. */
  kills(task: Pick<TaskContext, "run" | "step">): number;
  /** The step ends its process. */
  kill(party: Party, task: Pick<TaskContext, "run" | "step">): void;
}

/** A rule that was broken. */
export interface Wrong {
  /** Which one: stays the same while a failing case is made smaller. */
  rule: string;
  what: string;
}

/** Says that a rule was broken. */
export type Say = (rule: string, what: string) => void;

export interface Scenario {
  readonly runs: ReadonlyMap<string, ScenarioRun>;
  readonly seats: readonly Seat[];
  /** The agent of one role in one process. */
  agent(role: string, party: Party, scene: CrewScene): AgentDefinition;
  planning(bus: Bus, clock: Clock): RunPlanning;
  /** Lets the people submit the runs, and do what else they do. */
  attend(people: People): void;
  /** A run was submitted that is none of the scenario's: a nested one, or one that repeats another. */
  attendLater?(people: People, run: string, submission: SubmitMessage): void;
  /** Whether the tasks of some steps vanish whenever they are given out, so that the steps fail. */
  readonly curses?: boolean;
  /** How many tasks of a role one daemon lets wait in its queue. Default: as many as a real one. */
  readonly window?: ShareWindow;
  /** What the judges understand of conditions and templates. */
  readonly language: Language;
  /** Judges what the scripts of the tasks alone say about a run's end. */
  judge?(run: string, reference: Reference, submission: SubmitMessage, say: Say): void;
}
