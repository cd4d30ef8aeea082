/** A contender for a lock: says that it is ready, tries at the first line of its input, holds until the end. */
import { once } from "node:events";
import { tryLock } from "../../src/daemon/broker/process-lock.ts";

const [folder = ""] = process.argv.slice(2);
process.stdout.write("ready\n");
await once(process.stdin, "data");
const outcome = await tryLock(folder);
process.stdout.write(`${JSON.stringify({ held: outcome.held })}\n`);
await once(process.stdin, "end");
if (outcome.held) await outcome.lock.release();
