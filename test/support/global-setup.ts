/** Runs once before all tests: makes sure that there is a nats-server, fetching one where there is none. */
import { defaultFetcher } from "../../src/daemon/broker/fetch.ts";
import { locateServer } from "../../src/daemon/broker/locate.ts";

export async function setup(): Promise<void> {
  const server = await locateServer({
    env: process.env,
    fetch: defaultFetcher(process.env),
    notice: (line) => process.stderr.write(`${line}\n`),
  });
  process.stderr.write(`nats-server ${server.version.text} (${server.path})\n`);
}
