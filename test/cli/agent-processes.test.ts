/**
 * Agent processes under their supervisor, without a swarm. Catches: what a daemon would keep of every process that it
 * ever brought back, and a process that is on its way back said to serve.
 */
import { getEventListeners } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { AgentProcesses } from "../../src/cli/agent-processes.ts";
import { invocation } from "../../src/cli/invocation.ts";
import { memoryShell } from "./memory-shell.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "datahammer-agents-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("a process that is brought back again and again leaves nothing behind with what watches for Ctrl-C", async () => {
  const ready = join(folder, "ready.mjs");
  writeFileSync(
    ready,
    `process.send({ event: "ready", agents: [{ role: "one", id: "a" }], pid: process.pid });
    process.on("disconnect", () => process.exit());`,
  );
  const shell = { ...memoryShell({ cwd: folder }), self: [process.execPath, ready] };
  const call = invocation(shell, {});
  const processes = await AgentProcesses.start(call, { files: ["one.mjs"], endpoint: { url: "nats://no" } });
  try {
    for (let kill = 0; kill < 4; kill += 1) {
      const [served] = processes.served;
      process.kill(served?.pid ?? 0, "SIGKILL");
      await expect
        .poll(() => processes.served[0]?.pid ?? served?.pid, { timeout: 30_000 })
        .not.toBe(served?.pid);
    }
    expect(getEventListeners(shell.interrupted, "abort")).toHaveLength(0);
  } finally {
    await processes.stop();
  }
});
