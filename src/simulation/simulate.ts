/**
 * One simulated life of a swarm: two daemons, agents, a client, a rogue, and everything that goes wrong.
 *
 * Owns who lives when: parties are born, stopped, cut off, killed and born again. What is right or wrong about
 * it is the judges' matter.
 */
import { pino } from "pino";
import { OrchestratorAgent } from "../actors/orchestrator-agent.ts";
import type { AgentDefinition, TaskContext } from "../agent/define.ts";
import { type RunningAgent, serveAgent } from "../agent/host.ts";
import type { Bus, LogRecord } from "../bus/bus.ts";
import { createMemoryBroker, type MemoryBroker, type MemoryBus } from "../bus/memory/broker.ts";
import type { DispatchRef, SubmitMessage, TaskMessage } from "../bus/messages.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import { Chance } from "./chance.ts";
import { Evidence } from "./evidence.ts";
import { type FaultChoice, type FaultKind, Faults } from "./faults.ts";
import { Network, SPY } from "./network.ts";
import { partyBus } from "./party-bus.ts";
import { patienceFor } from "./patience.ts";
import { People } from "./people.ts";
import { Reference } from "./reference.ts";
import { Rogue } from "./rogue.ts";
import type { CrewScene, Scenario, Seat } from "./scenario.ts";
import { Party, type Skew, World } from "./world.ts";

export interface SimulationOptions {
  seed: number;
  faults?: FaultChoice;
  /** Kills whoever holds a run, once, at a moment of the seed within so many ms. */
  killHolderWithinMs?: number;
  /** How long after the last fault every run has to have ended, in ms. Default: what its workflow allows. */
  patienceMs?: number;
}

/** What a simulation leaves behind for its judges. */
export interface Life {
  seed: number;
  scenario: Scenario;
  world: World;
  faults: Faults;
  evidence: Evidence;
  logs: ReadonlyMap<string, readonly LogRecord[]>;
  /** Runs that had no end in time. */
  unended: readonly string[];
  /** What was left in the queues at the end. */
  left: readonly string[];
  /** Parties that called the broker without end. */
  spinning: readonly string[];
  /** Rejections that nobody handled, and errors that the runtime's authors did not foresee. */
  strays: readonly string[];
}

/** When every run has ended the queues have to empty within this. */
const CLEARING_MS = 3 * 60_000;
/** Those who want to hear of errors which the runtime survived that nobody meant to happen. */
const hearing = new Set<(error: string) => void>();
/** One for all lives: a logger is never given back. Every error that is meant has a code. */
const unforeseen = pino(
  { level: "error" },
  {
    write(line: string) {
      const { msg, err } = JSON.parse(line) as { msg: string; err?: { code?: string; stack: string } };
      if (err !== undefined && err.code === undefined)
        for (const hear of hearing) hear(`${msg}: ${err.stack}`);
    },
  },
);

type Birth = (party: Party, bus: Bus) => Promise<{ stop(): Promise<void> }>;

interface Post {
  name: string;
  birth: Birth;
  generation: number;
  party: Party | undefined;
  inner: MemoryBus | undefined;
  life: { stop(): Promise<void> } | undefined;
}

/** Lives one life of the scenario's swarm. The same scenario and options give the same life. */
export async function simulate(scenario: Scenario, options: SimulationOptions): Promise<Life> {
  const strays: string[] = [];
  const before = process.listeners("unhandledRejection");
  const onStray = (reason: unknown): void => void strays.push(String(reason));
  hearing.add(onStray);
  process.setMaxListeners(0);
  process.on("unhandledRejection", onStray);
  try {
    return { ...(await new Simulation(scenario, options).live()), strays };
  } finally {
    hearing.delete(onStray);
    // Processes that died in here had no time to tidy up.
    for (const listener of process.listeners("unhandledRejection")) {
      if (!before.includes(listener)) process.off("unhandledRejection", listener);
    }
  }
}

class Simulation {
  readonly #scenario: Scenario;
  readonly #options: SimulationOptions;
  readonly #world = new World();
  readonly #faults: Faults;
  readonly #evidence = new Evidence();
  readonly #broker: MemoryBroker;
  readonly #spy: MemoryBus;
  readonly #parties = new Map<string, Party>();
  readonly #posts: Post[] = [];
  readonly #chance: Chance;
  readonly #kills = new Map<string, number>();
  readonly #ackedLately: { task: TaskMessage; at: number }[] = [];
  readonly #ghosts = new Set<string>();
  /** Steps whose tasks vanish whenever they are given out, also when nothing new goes wrong any more. */
  readonly #cursed = new Set<string>();
  readonly #logEnds = new Map<string, number>();
  readonly #references = new Map<string, Reference>();
  /** Workflows of the runs that no step began. */
  readonly #submittedOnes: WorkflowDocument[] = [];
  readonly #spinning: string[] = [];
  readonly #attendants: People;

  constructor(scenario: Scenario, options: SimulationOptions) {
    const { seed, faults } = options;
    this.#scenario = scenario;
    this.#options = options;
    this.#chance = new Chance(seed, "swarm");
    this.#faults = new Faults(seed, this.#world, faults);
    const network = new Network(this.#world, this.#faults, (name) => this.#parties.get(name));
    this.#broker = createMemoryBroker({
      clock: this.#world.clock,
      deliver: network.deliver,
      claimCheckBytes: scenario.language.kept.fromBytes,
    });
    this.#spy = this.#broker.connect("main", { party: SPY });
    for (const [run, { workflow }] of scenario.runs) {
      this.#references.set(run, new Reference(workflow, scenario.language));
      if (workflow !== undefined) this.#submittedOnes.push(workflow);
    }
    this.#attendants = this.#people();
  }

  async live(): Promise<Omit<Life, "strays">> {
    const world = this.#world;
    this.#faults.kinds.size > 0 && world.note("world", `faults: ${[...this.#faults.kinds].join(", ")}`);
    for (const [run, { workflow, goals, want }] of this.#scenario.runs)
      world.note("world", `${run}: ${JSON.stringify(workflow ?? { goals, want })}`);
    this.#hire();
    for (const post of this.#posts) world.after(this.#chance.between(0, 500), () => this.#bear(post));
    this.#scheduleFaults();
    const people = this.#attendants;
    this.#scenario.attend(people);
    new Rogue({
      world,
      faults: this.#faults,
      evidence: this.#evidence,
      broker: this.#broker,
      bus: this.#spy,
      referenceOf: (run) => this.#reference(run),
    }).begin(() => [...this.#references.keys()]);
    for (const run of this.#references.keys()) await this.#watchLog(run);
    await world.run(this.#faults.untilMs);
    this.#heal();
    people.bringToAnEnd();
    const allEnded = (): boolean => this.#unended().length === 0 && people.idle;
    for (let end = this.#lastEnd; world.now < end && !allEnded(); end = this.#lastEnd)
      await world.run(end, allEnded);
    const unended = this.#unended();
    const cleared = world.now + CLEARING_MS;
    let left: string[] = [];
    while (unended.length === 0) {
      await world.run(world.now + 5_000);
      left = await this.#left();
      if (left.length === 0 || world.now >= cleared) break;
    }
    const logs = new Map<string, LogRecord[]>();
    for (const run of this.#references.keys()) {
      const records: LogRecord[] = [];
      for await (const record of this.#spy.log.read(run)) records.push(record);
      logs.set(run, records);
    }
    for (const post of this.#posts) this.#kill(post);
    return {
      seed: this.#options.seed,
      scenario: this.#scenario,
      world,
      faults: this.#faults,
      evidence: this.#evidence,
      logs,
      unended,
      left,
      spinning: this.#spinning,
    };
  }

  // ── who lives ────────────────────────────────────────────────────────────────────────────────────

  #hire(): void {
    for (const name of ["d1", "d2"]) this.#post(name, (party, bus) => this.#daemon(party, bus));
    for (const [at, seat] of this.#scenario.seats.entries()) {
      this.#post(`a${at + 1}`, (party, bus) => this.#agent(party, bus, seat));
    }
  }

  #post(name: string, birth: Birth): void {
    this.#posts.push({ name, birth, generation: 0, party: undefined, inner: undefined, life: undefined });
  }

  async #daemon(party: Party, bus: Bus): Promise<{ stop(): Promise<void> }> {
    let ids = 0;
    const agent = new OrchestratorAgent({
      bus,
      clock: party.clock,
      log: unforeseen,
      planning: this.#scenario.planning(bus, party.clock),
      ...(this.#scenario.window && { window: this.#scenario.window }),
      id: party.name,
      newId: () => `${party.name}-${++ids}`,
    });
    bus.live.onHello(async ({ roles }) => {
      const settings = await Promise.all(roles.map(({ role }) => bus.tasks.ensureRole({ role })));
      return { ok: true, roles: settings };
    });
    agent.start();
    await bus.runs.serveArrivals();
    return agent;
  }

  #agent(party: Party, bus: Bus, seat: Seat): Promise<RunningAgent> {
    const scene: CrewScene = {
      kills: ({ run, step }) => this.#kills.get(`${run}:${step}`) ?? 0,
      kill: (who, { run, step }) => {
        if (who.dead) return;
        this.#kills.set(`${run}:${step}`, (this.#kills.get(`${run}:${step}`) ?? 0) + 1);
        this.#dies(who, 1_000);
      },
    };
    const agents = seat.roles.map((role) => this.#watched(this.#scenario.agent(role, party, scene), party));
    return serveAgent(agents, {
      bus,
      clock: party.clock,
      log: unforeseen,
      id: party.name,
      concurrency: seat.concurrency,
      about: { pid: 1, host: "simulated", version: "0" },
    });
  }

  /** Notes when the code of a task begins. */
  #watched(agent: AgentDefinition, party: Party): AgentDefinition {
    const tasks = Object.entries(agent.tasks).map(([name, task]) => {
      const run = (inputs: unknown, ctx: TaskContext): unknown => {
        this.#ran(party, ctx);
        return task.run(inputs, ctx);
      };
      return [name, { ...task, run }] as const;
    });
    return { ...agent, tasks: Object.fromEntries(tasks) };
  }

  #ran(party: Party, { run, step, n }: TaskContext): void {
    if (party.dead) return;
    this.#world.note(party.name, `runs ${run} ${step}#${n}`);
    const at = this.#world.now;
    this.#evidence.add({ at, party: party.name, kind: "ran", run, step, n, logEnd: this.#logEnd(run) });
  }

  #bear(post: Post): void {
    if (post.party && !post.party.dead) return;
    post.generation++;
    const name = post.generation === 1 ? post.name : `${post.name}.${post.generation}`;
    const party = new Party(this.#world, name, this.#skew());
    const inner = this.#broker.connect("main", { party: name, clock: party.clock });
    this.#parties.set(name, party);
    post.party = party;
    post.inner = inner;
    post.life = undefined;
    this.#world.note(name, "is born");
    const bus = partyBus(inner, party, this.#scene());
    post.birth(party, bus).then(
      (life) => {
        if (post.party === party) post.life = life;
      },
      () => {
        // A start that failed is tried again, as a supervisor does.
        if (post.party === party && !party.dead) this.#crash(post, 500);
      },
    );
  }

  #skew(): Skew {
    if (!this.#faults.kinds.has("skew")) return { offsetMs: 0, rate: 1 };
    const chance = this.#faults.chance("skew");
    return { offsetMs: (chance.next() - 0.5) * 40_000, rate: 1 + (chance.next() - 0.5) * 0.01 };
  }

  #kill(post: Post): void {
    if (!post.party || post.party.dead) return;
    post.party.die();
    this.#evidence.hindered(post.party.name, this.#world.now, Number.POSITIVE_INFINITY);
    void post.inner?.close();
  }

  #crash(post: Post, downMs: number): void {
    if (!post.party || post.party.dead) return;
    this.#world.note(post.party.name, "dies");
    this.#kill(post);
    this.#world.after(downMs, () => this.#bear(post));
  }

  #dies(party: Party, downMs: number): boolean {
    const post = this.#posts.find((one) => one.party === party);
    if (post) this.#crash(post, downMs);
    return post !== undefined;
  }

  #scene(): Parameters<typeof partyBus>[2] {
    const key = ({ run, step, n, role }: DispatchRef): string => `${role}:${run}:${step}:${n}`;
    return {
      world: this.#world,
      faults: this.#faults,
      evidence: this.#evidence,
      logEnd: (run) => this.#logEnd(run),
      dies: (party) => this.#dies(party, this.#faults.chance("crash").between(50, 5_000)),
      kept: this.#scenario.language.kept,
      spins: (who, what) => this.#spinning.push(`${who} calls ${what} without end`),
      acked: (task) => {
        this.#ackedLately.push({ task, at: this.#world.now });
      },
      submitted: (run, submission) => this.#submitted(run, submission),
      swallows: ({ run, step }) => this.#cursed.has(`${run} ${step}`),
      isGhost: (task) => this.#ghosts.has(key(task)),
    };
  }

  // ── what goes wrong by itself ────────────────────────────────────────────────────────────────────

  #scheduleFaults(): void {
    const again = (kind: FaultKind, strike: (chance: Chance) => void): void => {
      if (!this.#faults.kinds.has(kind)) return;
      const next = (): void => {
        this.#world.after(this.#faults.pauseBefore(kind), () => {
          if (this.#faults.over) return;
          strike(this.#faults.chance(kind));
          next();
        });
      };
      next();
    };
    again("crash", (chance) => this.#crash(chance.pick(this.#posts), chance.between(50, 8_000)));
    again("pause", (chance) =>
      this.#pause(chance.pick(this.#posts), chance.between(100, chance.pick([3_000, 30_000]))),
    );
    again("cut", (chance) => this.#cut([chance.pick(this.#posts)], chance.between(100, 15_000)));
    again("shutdown", (chance) => this.#shutDown(chance.pick(this.#posts), chance.between(500, 5_000)));
    again("broker", (chance) => {
      if (!chance.happens(0.3)) return;
      this.#cut(this.#posts, chance.between(200, 5_000));
      this.#bringBackAcked();
    });
    again("vanishing", (chance) => void this.#vanish(chance));
    const { killHolderWithinMs } = this.#options;
    if (killHolderWithinMs !== undefined) {
      const chance = new Chance(this.#options.seed, "kill holder");
      this.#world.after(chance.next() * killHolderWithinMs, () =>
        this.#killHolder(chance.between(500, 5_000)),
      );
    }
  }

  #killHolder(downMs: number): void {
    const holder = this.#evidence.of("claimed").at(-1)?.party;
    const post = this.#posts.find(({ party }) => party?.name === holder);
    if (post) this.#crash(post, downMs);
  }

  #pause(post: Post, forMs: number): void {
    const { party } = post;
    if (!party || party.dead || party.stopped) return;
    this.#world.note(party.name, `is stopped for ${forMs} ms`);
    party.stop();
    this.#evidence.hindered(party.name, this.#world.now, forMs);
    this.#world.after(forMs, () => party.go());
  }

  #cut(posts: readonly Post[], forMs: number): void {
    for (const { inner, party } of posts) {
      if (!inner || !party || party.dead) continue;
      this.#world.note(party.name, `is cut off for ${forMs} ms`);
      inner.cut("simulated");
      this.#evidence.hindered(party.name, this.#world.now, forMs);
      this.#world.after(forMs, () => inner.restore());
    }
  }

  #shutDown(post: Post, downMs: number): void {
    const { party, life } = post;
    if (!party || party.dead || party.stopped || !life) return;
    this.#world.note(party.name, "is asked to stop");
    this.#evidence.hindered(party.name, this.#world.now, Number.POSITIVE_INFINITY);
    const exit = (): void => {
      if (post.party === party) this.#crash(post, downMs);
    };
    life.stop().then(exit, exit);
    this.#world.after(40_000, exit);
  }

  /** What 2.9 does after a kill -9: tasks that were acked within the last second are there again. */
  #bringBackAcked(): void {
    for (const { task, at } of this.#ackedLately.splice(0)) {
      if (this.#world.now - at > 1_000) continue;
      this.#ghosts.add(`${task.role}:${task.run}:${task.step}:${task.n}`);
      this.#world.note("broker", `brings back ${task.run} ${task.step}#${task.n}`);
      void this.#spy.tasks.push(task);
    }
  }

  async #vanish(chance: Chance): Promise<void> {
    const pushed = this.#evidence.of("pushed").slice(-5);
    if (pushed.length === 0) return;
    const { run, step, n, role } = chance.pick(pushed);
    if (this.#scenario.curses && chance.happens(0.3)) this.#cursed.add(`${run} ${step}`);
    if (await this.#spy.tasks.remove({ run, step, n, role }))
      this.#world.note("broker", `loses the task of ${run} ${step}#${n}`);
  }

  #heal(): void {
    this.#world.note("world", "nothing new goes wrong from here on");
    for (const post of this.#posts) {
      post.party?.go();
      post.inner?.restore();
      if (post.party?.dead) this.#bear(post);
    }
  }

  // ── what is looked at from outside ───────────────────────────────────────────────────────────────

  #people(): People {
    const party = new Party(this.#world, "client", { offsetMs: 0, rate: 1 });
    this.#parties.set("client", party);
    const inner = this.#broker.connect("main", { party: "client", clock: party.clock });
    const bus = partyBus(inner, party, this.#scene());
    const people = new People({
      world: this.#world,
      faults: this.#faults,
      bus,
      referenceOf: (run) => this.#reference(run),
    });
    return people;
  }

  #reference(run: string): Reference {
    return this.#references.get(run) as Reference;
  }

  /** When every run that was submitted so far has to have ended. */
  get #lastEnd(): number {
    const { patienceMs = patienceFor(this.#submittedOnes) } = this.#options;
    return this.#faults.untilMs + patienceMs;
  }

  #unended(): string[] {
    return [...this.#references.keys()].filter((run) => !this.#reference(run).ended);
  }

  #logEnd(run: string): number {
    return this.#logEnds.get(run) ?? 0;
  }

  /** The spy's copies are never lost: it is no party of the network. */
  async #watchLog(run: string): Promise<void> {
    await this.#spy.log.follow(run, (record) => {
      this.#logEnds.set(run, record.seq);
      this.#reference(run).apply(record);
    });
  }

  /** A run that the scenario did not know of is watched like the others. */
  #submitted(run: string, submission: SubmitMessage): void {
    if (this.#references.has(run)) return;
    const { goals, want } = submission;
    const workflow = submission.workflow as WorkflowDocument | undefined;
    // Documents that went by reference are beyond the judges.
    if (workflow !== undefined && workflow.steps === undefined) return;
    this.#world.note("world", `${run}: ${JSON.stringify(workflow ?? { goals, want })}`);
    this.#references.set(run, new Reference(workflow, this.#scenario.language));
    if (workflow !== undefined && submission.parent === undefined) this.#submittedOnes.push(workflow);
    void this.#watchLog(run);
    this.#attendants.adopt(run);
    this.#scenario.attendLater?.(this.#attendants, run, submission);
  }

  async #left(): Promise<string[]> {
    const left: string[] = [];
    for (const { role, queued, held } of await this.#spy.tasks.roles()) {
      if (queued + held > 0) left.push(`${queued + held} tasks of ${role}`);
    }
    for (const run of this.#references.keys()) {
      // Were it gone, this would make a new one, which the next holder finds to be of an ended run.
      if ((await this.#spy.runs.push(run)) === "present") left.push(`the task of run ${run}`);
    }
    return left;
  }
}
