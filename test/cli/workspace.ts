/** A folder of its own for a test of the command line, and the commands run in it. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { type CliOptions, type CliResult, type RunningCli, runCli, startCli } from "../support/cli.ts";
import { runInShell } from "./memory-shell.ts";

export const ECHO_AGENT = resolve(import.meta.dirname, "fixtures/echo-agent.ts");
export const THROWING_AGENT = resolve(import.meta.dirname, "fixtures/throwing-agent.ts");

const CLEAN_ENV = {
  DATAHAMMER_NATS: undefined,
  DATAHAMMER_STORE: undefined,
  DATAHAMMER_SWARM: undefined,
  DATAHAMMER_LOG_LEVEL: undefined,
  FORCE_COLOR: undefined,
};

export class Workspace {
  readonly folder: string;
  readonly #running: RunningCli[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<Workspace> {
    return new Workspace(await mkdtemp(join(tmpdir(), "datahammer-cli-")));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async write(name: string, content: unknown): Promise<string> {
    await writeFile(this.path(name), typeof content === "string" ? content : stringify(content));
    return this.path(name);
  }

  read(name: string): Promise<string> {
    return readFile(this.path(name), "utf8");
  }

  /** A command that talks to a daemon and starts nothing itself: in this process. */
  ask(args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> {
    return runInShell(args, { cwd: this.folder, env: { ...process.env, ...CLEAN_ENV, ...env } });
  }

  /** Any command, as a process. */
  run(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    return runCli(args, { cwd: this.folder, ...options, env: { ...CLEAN_ENV, ...options.env } });
  }

  start(args: readonly string[], options: CliOptions = {}): RunningCli {
    const cli = startCli(args, { cwd: this.folder, ...options, env: { ...CLEAN_ENV, ...options.env } });
    this.#running.push(cli);
    return cli;
  }

  /** A daemon on the folder's store; resolves when it is ready. */
  async up(args: readonly string[] = [], options: CliOptions = {}): Promise<RunningCli> {
    const cli = this.start(["up", "--json", ...args], options);
    await cli.waitForLine((line) => line.includes('"ready"'));
    return cli;
  }

  /** Ends what still runs, and removes the folder. */
  async remove(): Promise<void> {
    for (const cli of this.#running)
      if (cli.child.exitCode === null && cli.child.signalCode === null) await cli.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The one JSON value that a command printed. */
export function jsonOf(result: CliResult): unknown {
  return JSON.parse(result.stdout);
}
