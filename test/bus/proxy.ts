/**
 * A TCP proxy in front of a server: cutting it cuts one client off and leaves the others alone; one that does not drain
 * makes its client a reader that takes nothing.
 */
import type { AddressInfo } from "node:net";
import { createServer, connect as dial, type Server, type Socket } from "node:net";

export class CuttableProxy {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #upstreams = new Set<Socket>();
  #cut = false;
  #draining = true;

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  static async inFrontOf(target: string): Promise<CuttableProxy> {
    const { hostname, port } = new URL(target);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const proxy = new CuttableProxy(server, `nats://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on("connection", (client) => proxy.#accept(client, hostname, Number(port)));
    return proxy;
  }

  #accept(client: Socket, host: string, port: number): void {
    if (this.#cut) {
      client.destroy();
      return;
    }
    const upstream = dial(port, host);
    if (!this.#draining) upstream.pause();
    this.#upstreams.add(upstream);
    upstream.once("close", () => this.#upstreams.delete(upstream));
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(from);
      from.on("data", (chunk) => to.write(chunk));
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }

  cut(): void {
    this.#cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#cut = false;
  }

  /** What the server sends is left unread; what the client says still goes through. */
  stall(): void {
    this.#draining = false;
    for (const upstream of this.#upstreams) upstream.pause();
  }

  flow(): void {
    this.#draining = true;
    for (const upstream of this.#upstreams) upstream.resume();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
