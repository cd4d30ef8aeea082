/**
 * The swarm of the chaos rounds: a nats-server, daemons and agents as processes, and what may be done to them.
 *
 * Owns the processes and their folder. A process that is killed is started again after a pause; one that is stopped
 * is continued; `heal` makes everybody well.
 */
import { appendFileSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Bus } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import type { Chance } from "../../src/simulation/chance.ts";
import { type RunningCli, startCli } from "../support/cli.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

const AGENT = resolve(import.meta.dirname, "chaos-agent.mjs");
const ENTRY = resolve(import.meta.dirname, "../../dist/src/index.js");
const ACK_WAIT_MS = 2_000;
const ROLES = ["red", "green", "blue"];

interface Party {
  name: string;
  args: string[];
  cli: RunningCli;
  /** Stopped, or on its way back. */
  ill: boolean;
}

export class ChaosSwarm {
  readonly folder = mkdtempSync(join(tmpdir(), "dh-chaos-"));
  readonly journal = join(this.folder, "journal.txt");
  readonly bus: Bus;
  readonly #nats: TestNats;
  readonly #parties: Party[] = [];
  #natsIsIll = false;
  readonly #mending = new Set<Promise<void>>();

  private constructor(nats: TestNats, bus: Bus) {
    this.#nats = nats;
    this.bus = bus;
  }

  static async start(daemons: number, agents: number): Promise<ChaosSwarm> {
    const folder = mkdtempSync(join(tmpdir(), "dh-chaos-nats-"));
    const nats = await startTestNats({ store: folder });
    const bus = await connectNatsBus({ url: nats.url, token: nats.token, name: "chaos", provision: true });
    for (const role of ROLES) await bus.tasks.ensureRole({ role, ackWaitMs: ACK_WAIT_MS });
    const swarm = new ChaosSwarm(nats, bus);
    mkdirSync(join(swarm.folder, "logs"));
    appendFileSync(swarm.journal, "");
    for (let at = 0; at < daemons; at++) {
      swarm.#join(`daemon-${at}`, ["up", "--json", "--ack-wait", `${ACK_WAIT_MS}ms`]);
    }
    for (let at = 0; at < agents; at++) swarm.#join(`agent-${at}`, ["agent", AGENT, "--json"]);
    await Promise.all(swarm.#parties.map(({ cli }) => cli.waitForLine((line) => line.includes('"ready"'))));
    return swarm;
  }

  get store(): string {
    return this.#nats.store;
  }

  /** Does one thing to one of them. @returns what, for the report */
  async hurt(chance: Chance): Promise<string> {
    if (chance.happens(0.15)) return this.#hurtBroker(chance);
    const well = this.#parties.filter(({ ill }) => !ill);
    // Somebody has to be there, or nothing happens until it is back.
    if (well.length < 3) return "nobody";
    const party = chance.pick(well);
    const act = chance.pick(["SIGKILL", "SIGKILL", "SIGKILL", "SIGSTOP", "SIGTERM"] as const);
    const pauseMs = act === "SIGSTOP" ? chance.between(500, 3 * ACK_WAIT_MS) : chance.between(0, 1_000);
    party.ill = true;
    process.kill(party.cli.pid, act);
    this.#mend(async () => {
      if (act !== "SIGSTOP") await party.cli.exited;
      await delay(pauseMs);
      if (act === "SIGSTOP") process.kill(party.cli.pid, "SIGCONT");
      else await this.#begin(party);
      party.ill = false;
    });
    return `${act} ${party.name}`;
  }

  #hurtBroker(chance: Chance): string {
    if (this.#natsIsIll) return "nobody";
    this.#natsIsIll = true;
    const kill = chance.happens(0.7);
    const pauseMs = chance.between(0, kill ? 1_500 : 3_000);
    this.#mend(async () => {
      if (kill) await this.#nats.kill9();
      else this.#nats.sigstop();
      await delay(pauseMs);
      if (kill) await this.#nats.restart();
      else this.#nats.sigcont();
      this.#natsIsIll = false;
    });
    return kill ? "SIGKILL nats-server" : "SIGSTOP nats-server";
  }

  /** Resolves once everybody is there again. */
  async heal(): Promise<void> {
    while (this.#mending.size > 0) await Promise.all(this.#mending);
  }

  async stop(): Promise<void> {
    await this.heal();
    await this.bus.close();
    await Promise.all(this.#parties.map(({ cli }) => cli.kill("SIGKILL")));
    for (const party of this.#parties) this.#keepLog(party);
    await this.#nats.stop();
  }

  #join(name: string, args: string[]): void {
    const party: Party = { name, args, cli: this.#spawn(args), ill: false };
    this.#parties.push(party);
  }

  #spawn(args: string[]): RunningCli {
    return startCli(args, {
      cwd: this.folder,
      env: {
        DATAHAMMER_NATS: this.#nats.url,
        DATAHAMMER_TOKEN: this.#nats.token,
        DATAHAMMER_ENTRY: ENTRY,
        CHAOS_JOURNAL: this.journal,
      },
    });
  }

  /** Starts it until it stays: one that meets a broker that is away ends. */
  async #begin(party: Party): Promise<void> {
    for (;;) {
      this.#keepLog(party);
      party.cli = this.#spawn(party.args);
      try {
        await party.cli.waitForLine((line) => line.includes('"ready"'));
        return;
      } catch {
        await party.cli.kill("SIGKILL");
      }
    }
  }

  #keepLog({ name, cli }: Party): void {
    appendFileSync(join(this.folder, "logs", `${name}.log`), `${cli.stderr()}--- process ${cli.pid} ended\n`);
  }

  #mend(act: () => Promise<void>): void {
    const mending = act().finally(() => this.#mending.delete(mending));
    this.#mending.add(mending);
  }
}

export function delay(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
