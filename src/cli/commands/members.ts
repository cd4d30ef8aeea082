/** `agents` and `roles`: who is present, and the work queues. */
import type { RoleSettings } from "../../bus/messages.ts";
import { formatDuration } from "../../trace/duration.ts";
import { InvalidInputError } from "../../workflow/errors.ts";
import { ID_PATTERN } from "../../workflow/names.ts";
import { withClient } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import { durationFlag, integerFlag } from "../given-file.ts";
import type { Command } from "../invocation.ts";
import { table } from "../output.ts";

const MAX_IN_FLIGHT = 1_000_000;

/** One line for each role that an agent serves. */
export const agents: Command = async (call) => {
  const { output, shell } = call;
  const present = await withClient(call, (client) => client.agents());
  const rows = present.flatMap(
    ({ roles, id, pid, host, version, running, done, failed, startedAt, concurrency }) =>
      roles.map(({ role, tasks }) => ({
        id,
        role,
        pid,
        host,
        version,
        running,
        done,
        failed,
        concurrency,
        startedAt: new Date(startedAt).toISOString(),
        tasks: tasks.map(({ name }) => name),
      })),
  );
  rows.sort((a, b) => (a.role === b.role ? (a.id < b.id ? -1 : 1) : a.role < b.role ? -1 : 1));
  output.data(rows, () => {
    if (rows.length === 0) return "no agents\n";
    const cells = rows.map((row) => [
      row.role,
      row.id,
      String(row.pid),
      row.host,
      `${row.running}/${row.concurrency}`,
      String(row.done),
      String(row.failed),
      formatDuration(shell.clock.now() - Date.parse(row.startedAt)),
      row.tasks.join(", "),
    ]);
    return table(
      ["ROLE", "AGENT", "PID", "HOST", "BUSY", "DONE", "FAILED", "AGE", "TASKS"],
      cells,
      output.colors,
    );
  });
  if (rows.length === 0) output.notice("start one with `datahammer agent FILE`");
  return EXIT.done;
};

const roleRow = ({ role, encoding, inFlight, ackWaitMs }: RoleSettings) => ({
  role,
  encoding,
  inFlight,
  ackWait: ackWaitMs,
});

export const roles: Command = async (call) => {
  const { output } = call;
  const known = await withClient(call, (client) => client.roles());
  const rows = known.map((status) => ({ ...roleRow(status), queued: status.queued, held: status.held }));
  output.data(rows, () => {
    if (rows.length === 0) return "no roles\n";
    const cells = rows.map((row) => [
      row.role,
      String(row.queued),
      String(row.held),
      String(row.inFlight),
      row.encoding,
      formatDuration(row.ackWait),
    ]);
    return table(
      ["ROLE", "QUEUED", "HELD", "IN FLIGHT AT MOST", "ENCODING", "ACK WAIT"],
      cells,
      output.colors,
    );
  });
  return EXIT.done;
};

export interface RoleFlags {
  role: string;
  encoding?: string;
  inFlight?: string;
  ackWait?: string;
}

export const addRole: Command<RoleFlags> = async (call, { role, encoding, inFlight, ackWait }) => {
  if (!ID_PATTERN.test(role)) {
    throw new InvalidInputError("E_ROLE", `"${role}" is no role`, {
      remedy: "Use letters, digits, _ and -, at most 64.",
    });
  }
  const settings = {
    role,
    ...(encoding === undefined ? {} : { encoding: encodingFlag(encoding) }),
    ...(inFlight === undefined ? {} : { inFlight: integerFlag("--in-flight", inFlight, 1, MAX_IN_FLIGHT) }),
    ...(ackWait === undefined ? {} : { ackWaitMs: ackWaitFlag(ackWait) }),
  };
  const row = roleRow(await withClient(call, (client) => client.ensureRole(settings)));
  call.output.data(row, () => {
    return `role ${row.role}: ${row.encoding}, ${row.inFlight} in flight at most, ack wait ${formatDuration(row.ackWait)}\n`;
  });
  return EXIT.done;
};

function encodingFlag(text: string): "json" | "msgpack" {
  if (text === "json" || text === "msgpack") return text;
  throw new InvalidInputError("E_ENCODING", `--encoding "${text}" is no encoding`, {
    remedy: "Use json or msgpack.",
  });
}

function ackWaitFlag(text: string): number {
  const ms = durationFlag("--ack-wait", text);
  if (ms >= 1_000) return ms;
  throw new InvalidInputError("E_ACK_WAIT", `--ack-wait "${text}" is below the bound of 1s`, {
    remedy: "Give 1s or more.",
  });
}
