/** Runs once before all tests: makes sure that there is a nats-server, fetching one where there is none. */
import { locateServer } from "../../src/daemon/broker/locate.ts";

export async function setup(): Promise<void> {
  const server = await locateServer({
    env: process.env,
    notice: (line) => process.stderr.write(`${line}\n`),
  });
  process.stderr.write(`nats-server ${server.version.text} (${server.path})\n`);
}
