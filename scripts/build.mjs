// Compiles the sources to dist/, makes the command executable, and writes the published JSON Schema.
import { spawnSync } from "node:child_process";
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
rmSync("dist", { recursive: true, force: true });
const compiled = spawnSync(
  process.execPath,
  ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"],
  {
    stdio: "inherit",
  },
);
if (compiled.status !== 0) process.exit(compiled.status ?? 1);
chmodSync("dist/src/cli/main.js", 0o755);
const { workflowJsonSchema } = await import("../dist/src/workflow/json-schema.js");
writeFileSync("dist/workflow.schema.json", `${JSON.stringify(workflowJsonSchema(), null, 2)}\n`);
