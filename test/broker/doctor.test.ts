/** Catches a doctor that throws, that calls a broken thing well, or that names a fault without its remedy. */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ManagedBroker, startManagedBroker } from "../../src/daemon/broker/managed-broker.ts";
import {
  type BrokerReport,
  type DoctorContext,
  type DoctorFinding,
  runDoctor,
} from "../../src/daemon/doctor.ts";

const WELL: BrokerReport = {
  serverVersion: "2.10.27",
  roundTripMs: 0.4,
  missingRights: [],
  clockSkewMs: 12,
  daemons: 1,
};

let store: string;
let broker: ManagedBroker | undefined;
beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), "datahammer-doctor-"));
});
afterEach(async () => {
  await broker?.stop();
  broker = undefined;
  await rm(store, { recursive: true, force: true });
});

const examine = async (context: Partial<DoctorContext> = {}): Promise<Map<string, DoctorFinding>> => {
  const findings = await runDoctor({
    env: process.env,
    store,
    nodeVersion: process.versions.node,
    examineBroker: async () => WELL,
    ...context,
  });
  for (const finding of findings) expect(finding.ok || finding.remedy, JSON.stringify(finding)).toBeTruthy();
  return new Map(findings.map((finding) => [finding.check, finding]));
};
const faults = (found: Map<string, DoctorFinding>) =>
  [...found.values()].filter((finding) => !finding.ok).map((finding) => finding.check);

describe("doctor", () => {
  it("finds nothing wrong where a daemon runs and its broker answers", async () => {
    broker = await startManagedBroker({
      store,
      env: process.env,
      log: pino({ level: "silent" }),
      product: "0.0.0",
    });
    const { url, token } = broker;
    const asked: unknown[] = [];
    const found = await examine({
      examineBroker: async (target) => {
        asked.push(target);
        return WELL;
      },
    });
    expect(faults(found)).toEqual([]);
    expect([...found.keys()]).toEqual([
      "node",
      "nats-server",
      "store",
      "store-version",
      "disk",
      "daemon",
      "broker",
      "jetstream",
      "rights",
      "clock",
      "swarm",
    ]);
    expect(asked).toEqual([expect.objectContaining({ url, token })]);
    expect(found.get("daemon")?.detail).toContain(`process ${process.pid}`);
    expect(found.get("nats-server")?.detail).toContain(broker.version);
    expect(JSON.stringify([...found.values()])).not.toContain(token);
  });

  it("says how to start a daemon where none runs, and leaves out what only a broker could answer", async () => {
    const found = await examine({ store: join(store, "not", "there") });
    expect(faults(found)).toEqual(["daemon", "broker"]);
    expect(found.get("broker")?.remedy).toContain("datahammer up");
    expect(found.has("jetstream")).toBe(false);
  });

  it("names the way out when there is no nats-server", async () => {
    const found = await examine({ env: { PATH: "", HOME: store } });
    expect(found.get("nats-server")).toMatchObject({
      ok: false,
      remedy: expect.stringContaining("DATAHAMMER_NATS_SERVER"),
    });
  });

  it("sees a store that a newer nats-server wrote, and one that says nonsense about it", async () => {
    await writeFile(join(store, "version.json"), '{"natsServer":"99.1.0","datahammer":"0.1.0"}');
    expect((await examine()).get("store-version")).toMatchObject({
      ok: false,
      remedy: expect.stringContaining("99.1 or later"),
    });
    await writeFile(join(store, "version.json"), "{");
    expect((await examine()).get("store-version")?.ok).toBe(false);
  });

  it("sees a secret that others may read", async () => {
    await writeFile(join(store, "broker.json"), "{}");
    await chmod(join(store, "broker.json"), 0o644);
    expect((await examine()).get("store")?.remedy).toContain("chmod 600");
  });

  it("sees an old Node and a full disk", async () => {
    const found = await examine({ nodeVersion: "20.18.3", bounds: { freeBytes: Number.MAX_SAFE_INTEGER } });
    expect(found.get("node")?.detail).toBe("Node 20.18.3 is older than 20.19.");
    expect(found.get("disk")).toMatchObject({ ok: false, remedy: expect.stringContaining("--store") });
  });

  it("tells apart no JetStream, missing rights, a wrong clock and an empty swarm", async () => {
    const found = await examine({
      nats: { url: "nats://broker.example:4222" },
      examineBroker: async () => ({
        ...WELL,
        jetstreamProblem: "JetStream is not enabled for this account.",
        missingRights: ["$JS.API.>"],
        clockSkewMs: -61_000,
        daemons: 0,
      }),
    });
    expect(faults(found)).toEqual(["jetstream", "rights", "clock", "swarm"]);
    expect(found.get("clock")?.detail).toContain("-61000 ms (bound 5000 ms)");
  });

  it("does not wait for ever for a broker that never answers, nor fall over one that refuses", async () => {
    const nats = { url: "nats://broker.example:4222" };
    const silent = await examine({
      nats,
      examineBroker: () => new Promise(() => undefined),
      bounds: { brokerMs: 20 },
    });
    expect(silent.get("broker")?.detail).toContain("did not answer within 20 ms");
    const refused = await examine({
      nats,
      examineBroker: async () => {
        throw new Error("connection refused");
      },
    });
    expect(refused.get("broker")).toMatchObject({ ok: false, detail: "connection refused" });
  });
});
