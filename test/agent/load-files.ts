/** Loads agent files in a process of its own, where no test runner resolves modules. Argument: JSON of string[][]. */
import { loadAgentFiles } from "../../src/agent/load.ts";
import type { DataHammerError } from "../../src/workflow/errors.ts";

for (const files of JSON.parse(process.argv[2] ?? "[]") as string[][]) {
  const outcome = await loadAgentFiles(files).then(
    (agents) => ({
      roles: agents.map(({ role }) => role),
      tasks: agents.map(({ tasks }) => Object.keys(tasks)),
    }),
    ({ name, code, message, remedy }: DataHammerError) => ({ name, code, message, remedy }),
  );
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}
