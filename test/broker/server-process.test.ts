/** Catches a nats-server that is started wrong, that cannot be told apart from an older one, or that stays behind. */
import { connect } from "nats";
import { afterEach, describe, expect, it } from "vitest";
import { startTestNats, type TestNats } from "../support/nats.ts";

let server: TestNats | undefined;
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

describe("a nats-server process", () => {
  it("takes a client with its token on loopback, and refuses one without", async () => {
    server = await startTestNats();
    const connection = await connect({ servers: server.url, token: server.token });
    expect(new URL(server.url).hostname).toBe("127.0.0.1");
    await connection.close();
    await expect(connect({ servers: server.url, reconnect: false })).rejects.toThrow(/authorization/i);
  });

  it("comes back on the same port after kill -9, although the dead one's ports file is still there", async () => {
    server = await startTestNats();
    const { url, pid } = server;
    await server.kill9();
    await server.restart();
    expect(server.pid).not.toBe(pid);
    const connection = await connect({ servers: url, token: server.token });
    await connection.close();
  });
});
