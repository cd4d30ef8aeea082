/** Catches a page about the wire protocol that says something else than the code does. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { messageNames, withSchemas } from "../../scripts/protocol-docs.ts";
import { MAX_DELIVERIES, OPEN_TIMEOUT_MS } from "../../src/agent/dispatch.ts";
import { MAX_ERROR_MESSAGE_BYTES } from "../../src/agent/outcome.ts";
import { CLAIM_CHECK_BYTES, MESSAGE_VALUES_BYTES } from "../../src/bus/claim-check.ts";
import { DEFAULT_ROLE_SETTINGS, WIRE_VERSION } from "../../src/bus/messages.ts";
import { AGENT_SERVICE } from "../../src/bus/nats/stand-in.ts";
import { subjectsOf } from "../../src/bus/subjects.ts";

const page = readFileSync(new URL("../../docs/protocol.md", import.meta.url), "utf8");

describe("docs/protocol.md", () => {
  it("has the schema of every message as the code has it (else: npx tsx scripts/protocol-docs.ts)", () => {
    expect(withSchemas(page)).toBe(page);
    const shown = [...page.matchAll(/<!-- schema: ([a-z ]+) -->/g)].map(([, name]) => name);
    expect(shown.sort()).toEqual(messageNames().sort());
  });

  it("names the subjects, streams and the bucket as the code builds them", () => {
    const swarm = "SWARM";
    const subjects = subjectsOf(swarm);
    const ref = { role: "ROLE", run: "RUN", step: "STEP", n: 1 };
    const built = [
      subjects.task(ref).replace(/1$/, "<n>"),
      subjects.ask(ref).replace(/1$/, "<n>"),
      subjects.cancel(ref).replace(/1$/, "<n>"),
      subjects.live("ROLE", "RUN", "STEP"),
      subjects.record("RUN", { kind: "result", role: "ROLE" }),
      subjects.record("RUN", { kind: "env" }),
      subjects.record("RUN", { kind: "submit" }),
      subjects.record("RUN", { kind: "control" }),
      subjects.record("RUN", { kind: "observed" }),
      subjects.env("RUN", "KEY"),
      subjects.handoff("RUN", "STEP"),
      subjects.hello,
      subjects.tasksStream,
      subjects.logStream,
      subjects.artifactBucket,
      `$SRV.STATS.${AGENT_SERVICE}`,
    ];
    for (const subject of built) {
      const written = subject.replace(/SWARM|ROLE|RUN|STEP|KEY/g, (word) => `<${word.toLowerCase()}>`);
      expect(page).toContain(`\`${written}\``);
    }
  });

  it("states the bounds and time-outs as they are", () => {
    expect(page).toContain(`# The wire protocol, version ${WIRE_VERSION}`);
    expect(page).toContain(`Above ${MAX_DELIVERIES} deliveries`);
    expect(page).toContain(`in ${OPEN_TIMEOUT_MS / 1_000} s: run`);
    expect(page).toContain(`(${DEFAULT_ROLE_SETTINGS.ackWaitMs / 1_000} s unless`);
    expect(page).toContain(`before it is claim-checked | ${CLAIM_CHECK_BYTES / 1_024} KiB |`);
    expect(page).toContain(`of one result together | ${MESSAGE_VALUES_BYTES / 1_024} KiB |`);
    expect(page).toContain(`error's message | ${MAX_ERROR_MESSAGE_BYTES / 1_024} KiB |`);
  });

  it("lists every code that the agent host reports", () => {
    const sources = ["dispatch.ts", "task-environment.ts"].map((file) =>
      readFileSync(new URL(`../../src/agent/${file}`, import.meta.url), "utf8"),
    );
    const codes = new Set(
      sources
        .join("\n")
        .match(/"E_[A-Z_]+"/g)
        ?.map((code) => code.slice(1, -1)),
    );
    // What never leaves the process, or is replaced by another code on its way.
    for (const internal of ["E_DRAINED", "E_UNSERIALISABLE"]) codes.delete(internal);
    expect(codes.size).toBeGreaterThan(8);
    for (const code of codes) expect(page).toContain(`\`${code}\``);
  });
});
