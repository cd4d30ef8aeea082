/**
 * A swarm over its life, for what grows with it: broker, daemon and agent as processes on one store, submitted to
 * in bulk, killed and started again.
 *
 * Owns the processes, and hearing the ends of runs.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "nats";
import { pino } from "pino";
import { decodeBody, encodeBody } from "../src/bus/codec.ts";
import type { SubmitMessage } from "../src/bus/messages.ts";
import { type Subjects, subjectsOf } from "../src/bus/subjects.ts";
import { type ManagedBroker, startManagedBroker } from "../src/daemon/broker/managed-broker.ts";
import { BenchProcess } from "./child-process.ts";
import { ROLE } from "./subject.ts";

export const SWARM = "life";

export class SwarmLife {
  readonly subjects: Subjects = subjectsOf(SWARM);
  readonly store: string;
  broker: ManagedBroker;
  daemon: BenchProcess;
  readonly agent: BenchProcess;
  #nc: NatsConnection;
  readonly #concurrency: number;
  readonly #onEnd = new Map<string, (status: string) => void>();

  private constructor(store: string, broker: ManagedBroker, nc: NatsConnection, concurrency: number) {
    this.store = store;
    this.broker = broker;
    this.#nc = nc;
    this.daemon = new BenchProcess("runtime-daemon");
    this.agent = new BenchProcess("runtime-agent");
    this.#concurrency = concurrency;
    this.#listen();
  }

  static async start(concurrency: number): Promise<SwarmLife> {
    const store = await mkdtemp(join(tmpdir(), "datahammer-bench-"));
    const broker = await serverOn(store);
    const life = new SwarmLife(store, broker, await connected(broker), concurrency);
    try {
      await life.daemon.call("start", life.#address);
      await life.agent.call("start", { ...life.#address, concurrency: life.#concurrency });
      return life;
    } catch (error) {
      await life.stop();
      throw error;
    }
  }

  get address(): { url: string; token: string } {
    return { url: this.broker.url, token: this.broker.token };
  }
  get #address() {
    return { ...this.address, swarm: SWARM };
  }

  /** Submits and resolves with the run's status at its end. */
  async run(run: string, workflow: object): Promise<string> {
    const ended = new Promise<string>((resolve) => this.#onEnd.set(run, resolve));
    const body: SubmitMessage = { v: 1, workflow, inputs: {} };
    this.#nc.publish(this.subjects.record(run, { kind: "submit" }), encodeBody(body));
    return ended;
  }

  /** Resolves when so many results of the run are stored. Listen before it is submitted. */
  results(run: string, count: number): Promise<void> {
    return new Promise((resolve) => {
      let heard = 0;
      const subscription = this.#nc.subscribe(this.subjects.liveRecord(run, { kind: "result", role: ROLE }), {
        callback: () => {
          if (++heard < count) return;
          subscription.unsubscribe();
          resolve();
        },
      });
    });
  }

  /** Ends broker, daemon and connection in order and starts them again; how long each took, in ms. */
  async restart(): Promise<{ brokerMs: number; daemonMs: number }> {
    await this.daemon.stop();
    await this.#nc.close();
    await this.broker.stop();
    const start = performance.now();
    this.broker = await serverOn(this.store);
    const brokerMs = performance.now() - start;
    this.#nc = await connected(this.broker);
    this.#listen();
    return { brokerMs, daemonMs: await this.startDaemon() };
  }

  /** A new daemon process; how long from its creation until it takes runs, in ms. */
  async startDaemon(): Promise<number> {
    const start = performance.now();
    this.daemon = new BenchProcess("runtime-daemon");
    await this.daemon.call("start", this.#address);
    return performance.now() - start;
  }

  async stop(): Promise<void> {
    await this.agent.stop();
    await this.daemon.stop();
    await this.#nc.close();
    await this.broker.stop();
    await rm(this.store, { recursive: true, force: true });
  }

  #listen(): void {
    const prefix = this.subjects.allLiveRecords.slice(0, -1);
    this.#nc.subscribe(`${prefix}*.decision`, {
      callback: (_, message) => {
        const body = decodeBody(message.data);
        const decision = (body.ok ? body.value : {}) as { type?: unknown; status?: unknown };
        if (decision.type !== "end") return;
        const run = message.subject.slice(prefix.length).split(".")[0] ?? "";
        this.#onEnd.get(run)?.(String(decision.status));
        this.#onEnd.delete(run);
      },
    });
  }
}

function serverOn(store: string): Promise<ManagedBroker> {
  const log = pino({ level: "warn" }, process.stderr);
  return startManagedBroker({ store, env: process.env, log, product: "bench" });
}

function connected({ url, token }: { url: string; token: string }): Promise<NatsConnection> {
  return connect({ servers: url, token });
}
