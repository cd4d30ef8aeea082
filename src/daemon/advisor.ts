/** A language model of these settings, as whoever plans asks it. */
import type { Clock } from "../bus/bus.ts";
import { type ChatModelOptions, chatModel } from "../model/chat-model.ts";
import type { Advisor } from "../planner/counsel.ts";

export interface ModelSettings extends Omit<ChatModelOptions, "signal"> {
  /** Of one answer; of all answers of one planning twice as long. Default 20 s. */
  timeoutMs?: number;
  /** Whether values of the data may be told, beside keys, types and sizes. Default: no. */
  allowValues?: boolean;
}

const DEFAULT_TIMEOUT_MS = 20_000;

export function makeAdvisor(settings: ModelSettings, clock: Clock, signal: AbortSignal): Advisor {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, allowValues = false, ...model } = settings;
  return {
    model: chatModel({ ...model, signal }),
    timeoutMs,
    allowValues,
    now: () => clock.monotonic(),
  };
}
