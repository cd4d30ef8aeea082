/** A server that speaks the chat-completions protocol, streaming, and answers as it is told. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * A text is answered whole; `stall` begins and never ends, `endless` never stops talking, `cut` ends the connection in
 * mid-answer.
 */
export type Behaviour =
  | string
  | { status: number; headers?: Record<string, string> }
  | { text: string; usage?: object; toolCalls?: object[]; inOne?: boolean; cut?: boolean }
  | "stall"
  | "endless"
  | "silent";

interface Asked {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: { model: string; stream: boolean; messages: { role: string; content: string }[] };
}

export interface ChatServer {
  readonly url: string;
  readonly asked: Asked[];
  close(): Promise<void>;
}

/** Each request takes the next behaviour; the last one stays. */
export async function chatServer(behaviours: readonly Behaviour[]): Promise<ChatServer> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    const behaviour = behaviours[Math.min(asked.length, behaviours.length - 1)] ?? "silent";
    asked.push({ path: request.url ?? "", authorization: request.headers.authorization, body });
    answer(behaviour, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(behaviour: Behaviour, response: ServerResponse): void {
  if (behaviour === "silent") return;
  if (typeof behaviour === "object" && "status" in behaviour) {
    response.writeHead(behaviour.status, { "content-type": "application/json", ...behaviour.headers });
    response.end(JSON.stringify({ error: { message: "no", type: "server_error" } }));
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (delta: object, rest: object = {}): boolean =>
    response.write(`data: ${JSON.stringify(chunk([{ index: 0, delta, finish_reason: null }], rest))}\n\n`);
  send({ role: "assistant", content: "" });
  if (behaviour === "stall") return;
  if (behaviour === "endless") {
    const talk = (): void => {
      while (!response.destroyed && send({ content: "x".repeat(10_000) }));
      if (!response.destroyed) response.once("drain", talk);
    };
    talk();
    return;
  }
  const said = typeof behaviour === "string" ? { text: behaviour } : behaviour;
  const { text, toolCalls = [], inOne, cut } = said;
  for (const part of inOne ? [text] : (text.match(/[\s\S]{1,7}/g) ?? [])) send({ content: part });
  for (const call of toolCalls) send({ tool_calls: [call] });
  if (cut) return void response.write('data: {"id":"c","choices":[{"ind', () => response.destroy());
  const end = chunk([{ index: 0, delta: {}, finish_reason: toolCalls.length > 0 ? "tool_calls" : "stop" }]);
  const { usage = { prompt_tokens: 90, completion_tokens: 10, total_tokens: 100 } } = said;
  response.write(`data: ${JSON.stringify(end)}\n\n`);
  response.write(`data: ${JSON.stringify(chunk([], { usage }))}\n\n`);
  response.end("data: [DONE]\n\n");
}

function chunk(choices: object[], rest: object = {}): object {
  return { id: "c", object: "chat.completion.chunk", created: 1, model: "tiny", choices, ...rest };
}
