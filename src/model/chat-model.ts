/**
 * The planner's model port over the AI SDK, for whatever speaks the chat-completions protocol: OpenAI, Ollama,
 * vLLM, llama.cpp, and the compatible endpoints of Anthropic and Google.
 *
 * Owns the call: streaming, its bounds of time and size, and what it has cost. Does not own what the answer
 * means. The SDK is an optional dependency, loaded at the first question.
 */
import type { ModelAnswer, ModelRequest, ModelUsage, PlanModel } from "../planner/plan-model.ts";
import { type Prompt, promptOf } from "./plan-prompt.ts";

export interface ChatModelOptions {
  /** Base of the API, such as `http://127.0.0.1:11434/v1`. */
  url: string;
  /** The model, as the server calls it. */
  name: string;
  apiKey?: string;
  /** Of one answer. Default 2,000. */
  maxTokens?: number;
  /** What a million tokens cost, for the budget's `usd`. */
  usdPerMillionTokens?: number;
  /** Ends calls that are under way. */
  signal?: AbortSignal;
}

const DEFAULT_MAX_TOKENS = 2_000;
/** A server may go on for ever, whatever it was told. */
const LONGEST_ANSWER = 200_000;
const FAILURE_LENGTH = 300;
/** Where a server does not say how many tokens a text has. */
const CHARACTERS_PER_TOKEN = 4;

export function chatModel(options: ChatModelOptions): PlanModel {
  return { name: options.name, propose: (request) => ask(options, request) };
}

async function ask(options: ChatModelOptions, request: ModelRequest): Promise<ModelAnswer> {
  const prompt = promptOf(request);
  const timeLimit = AbortSignal.timeout(Math.max(1, Math.ceil(request.timeoutMs)));
  const finished = new AbortController();
  const signal = AbortSignal.any([timeLimit, finished.signal, ...(options.signal ? [options.signal] : [])]);
  const call = { text: "", reported: undefined as number | undefined };
  const usage = (): ModelUsage => usageOf(options, call.reported ?? estimated(prompt, call.text));
  try {
    // A stream that heeds no abort must not hold a run up.
    await Promise.race([stream(options, request, prompt, signal, call), aborted(signal)]);
    return { text: call.text, usage: usage() };
  } catch (error) {
    if (timeLimit.aborted) {
      return { failure: `it gave no whole answer within ${Math.ceil(request.timeoutMs)} ms`, usage: usage() };
    }
    // Who was not reached, or refused, has spent nothing; who was late or broke off has.
    const spent = call.text === "" ? usageOf(options, call.reported ?? 0) : usage();
    return { failure: failureText(error), usage: spent };
  } finally {
    finished.abort();
  }
}

async function stream(
  options: ChatModelOptions,
  { tokensLeft }: ModelRequest,
  prompt: Prompt,
  signal: AbortSignal,
  call: { text: string; reported: number | undefined },
): Promise<void> {
  const [{ streamText }, { createOpenAICompatible }] = await loadSdk();
  const provider = createOpenAICompatible({
    name: "datahammer",
    baseURL: options.url,
    includeUsage: true,
    ...(options.apiKey !== undefined && { apiKey: options.apiKey }),
  });
  const { maxTokens = DEFAULT_MAX_TOKENS } = options;
  const result = streamText({
    model: provider(options.name),
    system: prompt.system,
    messages: [...prompt.messages],
    maxOutputTokens: Math.min(maxTokens, tokensLeft ?? maxTokens),
    maxRetries: 0,
    abortSignal: signal,
    // Told as a part of the stream, below; by default it would be printed.
    onError: () => {},
  });
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "finish") call.reported = believable(part.totalUsage.totalTokens);
    if (part.type !== "text-delta") continue;
    call.text += part.text;
    if (call.text.length > LONGEST_ANSWER)
      throw new Error(`its answer has over ${LONGEST_ANSWER} characters`);
  }
}

async function loadSdk(): Promise<[typeof import("ai"), typeof import("@ai-sdk/openai-compatible")]> {
  try {
    return await Promise.all([import("ai"), import("@ai-sdk/openai-compatible")]);
  } catch (error) {
    throw new Error("the packages ai and @ai-sdk/openai-compatible are not installed: npm install them", {
      cause: error,
    });
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Error("the call was given up")), { once: true });
  });
}

function estimated({ system, messages }: Prompt, answer: string): number {
  const asked = messages.reduce((sum, { content }) => sum + content.length, system.length);
  return Math.ceil((asked + answer.length) / CHARACTERS_PER_TOKEN);
}

/** Whoever reports less than nothing, or no number, has reported nothing. */
function believable(tokens: number | undefined): number | undefined {
  return tokens !== undefined && Number.isSafeInteger(tokens) && tokens >= 0 ? tokens : undefined;
}

function usageOf({ usdPerMillionTokens }: ChatModelOptions, tokens: number): ModelUsage {
  if (usdPerMillionTokens === undefined) return { tokens };
  return { tokens, usd: (tokens * usdPerMillionTokens) / 1_000_000 };
}

function failureText(error: unknown): string {
  const { message, statusCode } = error as { message?: string; statusCode?: number };
  const status = statusCode === undefined ? "" : ` (status ${statusCode})`;
  return `it failed${status}: ${(message ?? String(error)).slice(0, FAILURE_LENGTH)}`;
}
