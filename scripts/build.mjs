// Compiles the sources to dist/, bundles the inspector page, copies the prompts, makes the command executable, and
// writes the published JSON Schema.
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

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
await build({
  entryPoints: [
    "src/inspector/main.tsx",
    "src/inspector/graph/layout-worker.ts",
    "src/inspector/styles/main.css",
  ],
  entryNames: "[name]",
  outdir: "dist/inspector",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome123", "firefox120", "safari17.5"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "linked",
  logLevel: "warning",
});
for (const file of ["index.html", "icon.svg"])
  copyFileSync(`src/inspector/${file}`, `dist/inspector/${file}`);
cpSync("src/model/prompts", "dist/src/model/prompts", { recursive: true });
const { workflowJsonSchema } = await import("../dist/src/workflow/json-schema.js");
writeFileSync("dist/workflow.schema.json", `${JSON.stringify(workflowJsonSchema(), null, 2)}\n`);
