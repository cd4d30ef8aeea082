/** What users' own tests import, as `datahammer/simulation`. */
export { FAULT_KINDS, type FaultKind } from "./faults.ts";
export type { Disturbance } from "./recorded-scenario.ts";
export type { Wrong } from "./scenario.ts";
export type { ScriptedDispatch, ScriptedEnd } from "./scripted-dispatch.ts";
export {
  type ScriptedTask,
  type SimulatedRun,
  type SimulatedWorkflow,
  simulateRun,
  simulateWorkflow,
  type TestKitOptions,
} from "./test-kit.ts";
