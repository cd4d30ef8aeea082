/** A daemon's skeleton for tests that kill one: starts the managed broker of a store and waits. */
import { pino } from "pino";
import { startManagedBroker } from "../../src/daemon/broker/managed-broker.ts";
import { DataHammerError } from "../../src/workflow/errors.ts";

const [store = ""] = process.argv.slice(2);
try {
  const broker = await startManagedBroker({
    store,
    env: process.env,
    log: pino({ level: "silent" }),
    product: "0.0.0",
  });
  const { url, token, pid } = broker;
  process.stdout.write(`${JSON.stringify({ url, token, pid })}\n`);
  process.once("SIGINT", () => void broker.stop());
} catch (error) {
  const code = error instanceof DataHammerError ? error.code : String(error);
  process.stdout.write(`${JSON.stringify({ code })}\n`);
}
