/** `up`: the daemon, and agents beside it, until Ctrl-C. */
import { AgentProcesses } from "../agent-processes.ts";
import { EXIT } from "../exit-code.ts";
import { hostDaemon } from "../hosted-swarm.ts";
import type { Command } from "../invocation.ts";

export interface UpFlags {
  agents?: string[];
}

export const up: Command<UpFlags> = async (call, flags) => {
  const { shell, settings, output } = call;
  const { nats: url, token, creds } = settings;
  const named = url === undefined ? undefined : { url, ...(token && { token }), ...(creds && { creds }) };
  const daemon = await hostDaemon(call, named, call.log("info"));
  let agents: AgentProcesses | undefined;
  try {
    const { nats, http, swarm } = daemon;
    const files = flags.agents ?? [];
    if (files.length > 0) agents = await AgentProcesses.start(call, { files, endpoint: nats });
    const served = agents?.served ?? [];
    output.line(
      { event: "ready", nats: nats.url, http: http ?? null, pid: process.pid, swarm, agents: served },
      () => {
        const lines = [`swarm ${swarm} is up: broker ${nats.url}, process ${process.pid}`];
        if (http !== undefined) lines.push(`look inside: ${http} (API: ${http}/api/openapi.json)`);
        for (const { role, pid } of served) lines.push(`agent of role ${role}: process ${pid}`);
        lines.push("Ctrl-C ends it; what was acknowledged is kept for the next start.");
        return lines.join("\n");
      },
    );
    const interrupted = new Promise<"interrupted">((resolve) => {
      const interrupt = () => resolve("interrupted");
      shell.interrupted.addEventListener("abort", interrupt, { once: true });
      if (shell.interrupted.aborted) interrupt();
    });
    const reason = await Promise.race([interrupted, daemon.ended]);
    if (reason !== "interrupted" && reason !== undefined) throw reason;
  } finally {
    await agents?.stop();
    await daemon.stop();
  }
  return shell.interrupted.reason === "SIGINT" ? EXIT.interrupted : EXIT.done;
};
