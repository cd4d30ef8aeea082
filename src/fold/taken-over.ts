/**
 * The environment that a run takes over from another one: values with their writers, as its submission
 * carries them. The steps are taken over by the step flow, once there is a graph.
 */
import type { RunOrigin } from "../bus/messages.ts";
import type { FoldFrame } from "./fold-frame.ts";

export function takeOverEnvironment({ steps, environment }: RunOrigin, frame: FoldFrame): void {
  const outputs = new Map(steps.map((kept) => [kept.step, kept.outputs]));
  for (const [key, { value, step, agent }] of Object.entries(environment)) {
    const isOutput = value === undefined && step !== undefined;
    const writer = { ...(step === undefined ? {} : { step }), ...(agent === undefined ? {} : { agent }) };
    frame.setEnv(key, isOutput ? (outputs.get(step)?.[key] ?? null) : value, writer);
  }
}
