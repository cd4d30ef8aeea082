/**
 * DataHammer's public interface.
 *
 * Agents: `defineAgent`, `serveAgent`. Clients: `connectSwarm`. Programs that embed a swarm:
 * `WorkflowExecutor`. The parts themselves: `WorkflowGraph`, `WorkflowPlanner`, `OrchestratorAgent`, the
 * machines, the fold, the bus port. Everything else is internal and may change.
 */
export { OrchestratorAgent, type OrchestratorAgentOptions } from "./actors/orchestrator-agent.ts";
export {
  type AgentDefinition,
  type EnvVerdict,
  type EnvWatchListener,
  Handoff,
  type HandoffHop,
  type TaskContext,
  type TaskDefinition,
  type TaskEnvironment,
} from "./agent/define.ts";
export { defineAgent } from "./agent/define-agent.ts";
export { type RunningAgent, type ServeOptions, serveAgent } from "./agent/host.ts";
export type { Bus, Clock, LogRecord, RoleStatus, RunQuery } from "./bus/bus.ts";
export type { DecisionMessage } from "./bus/decisions.ts";
export { createMemoryBroker, type MemoryBroker, type MemoryBrokerOptions } from "./bus/memory/broker.ts";
export type {
  AgentPresence,
  ControlMessage,
  EnvChangeMessage,
  HandoffHopMessage,
  LiveMessage,
  ResultMessage,
  RoleSettings,
  RunSummary,
  TaskMessage,
} from "./bus/messages.ts";
export { connectNatsBus, type NatsBusOptions } from "./bus/nats/bus.ts";
export { systemClock } from "./bus/system-clock.ts";
export { type ConnectOptions, connectSwarm } from "./client/connect.ts";
export type { FinishedFilter, PurgeReport } from "./client/run-removal.ts";
export type {
  CancelOptions,
  CancelReport,
  CancelVerdict,
  ControlRequest,
  ControlVerdict,
  EnvironmentChange,
  EnvironmentVerdictView,
  EnvironmentView,
  RerunReply,
  RerunRequest,
  RunView,
  StepView,
  SubmitRequest,
  SwarmClient,
  WatchEnvironmentOptions,
  WatchEvent,
  WatchOptions,
} from "./client/swarm.ts";
export { type Daemon, type DaemonOptions, startDaemon } from "./daemon/daemon.ts";
export {
  type AnswerWait,
  type InvokeAgent,
  type OutsideAnswer,
  RunFailedError,
  WorkflowExecutor,
  type WorkflowExecutorOptions,
} from "./embedded/executor.ts";
export { RunFold } from "./fold/run-fold.ts";
export type { FoldObserver, TransitionRecord, VoidRecord } from "./fold/transition-record.ts";
export { agentMachine } from "./machines/agent.ts";
export { runMachine } from "./machines/run.ts";
export { stepMachine } from "./machines/step.ts";
export {
  type Plan,
  type PlanOptions,
  type UpdateOptions,
  WorkflowPlanner,
  type WorkflowPlannerOptions,
} from "./planner/planner.ts";
export type { Recovery } from "./planner/recovery.ts";
export type { Capability, RoleCard } from "./workflow/capability.ts";
export type { WorkflowDocument, WorkflowStep, WorkflowStepDocument } from "./workflow/document.ts";
export {
  DataHammerError,
  InvalidInputError,
  InvalidWorkflowError,
  NonRetryableError,
  NoPlanError,
  NotFoundError,
  UnreachableError,
  type WorkflowIssue,
} from "./workflow/errors.ts";
export { validateWorkflow, WorkflowGraph } from "./workflow/graph.ts";
export { workflowJsonSchema } from "./workflow/json-schema.ts";
export { parseWorkflow } from "./workflow/parse.ts";
