/** An OpenTelemetry collector in this process, which keeps what it is sent. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

interface Span {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  kind: number;
}

/** Takes OTLP's JSON as a collector does. */
export class Collector {
  readonly spans: Span[] = [];
  /** All that was sent, as it came. */
  received = "";
  readonly #server: Server;
  readonly #heard: (() => void)[] = [];

  constructor() {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        const text = Buffer.concat(parts).toString();
        this.received += text;
        const body = JSON.parse(text);
        for (const { scopeSpans } of body.resourceSpans)
          for (const { spans } of scopeSpans) this.spans.push(...spans);
        response.setHeader("content-type", "application/json").end("{}");
        for (const heard of this.#heard.splice(0)) heard();
      });
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#heard.push(resolve));
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
