/**
 * The command tree: names, arguments and flags, and which function each one calls.
 *
 * No logic: what a command does is in `commands/`, loaded when it is called, so that `datahammer --help`
 * does not wait for a database driver.
 */
import { Command as Commander, CommanderError, type Help } from "commander";
import { DataHammerError, InvalidInputError } from "../workflow/errors.ts";
import type { ControlName } from "./commands/control.ts";
import { EXIT, type ExitCode, exitCodeOf } from "./exit-code.ts";
import { type Command, invocation } from "./invocation.ts";
import { Output } from "./output.ts";
import { productVersion } from "./product-version.ts";
import type { GlobalFlags } from "./settings.ts";
import type { Shell } from "./shell.ts";

/** Runs one command line. Never rejects: what goes wrong is told on stderr and by the exit code. */
export async function runProgram(argv: readonly string[], shell: Shell): Promise<ExitCode> {
  let exit: ExitCode = EXIT.done;
  const program = buildProgram(shell, (code) => {
    exit = code;
  });
  try {
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync([...argv], { from: "user" });
    return exit;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done; // --help, --version
    const told = error instanceof CommanderError ? usageError(error) : error;
    const output = new Output(shell, argv.includes("--json"));
    if (shell.interrupted.aborted) {
      // What was given up half way fails in many ways, all of which mean this.
      output.notice("interrupted");
      return EXIT.interrupted;
    }
    output.error(told);
    if (told instanceof Error && !(told instanceof DataHammerError) && wantsDetail(argv, shell)) {
      output.notice(told.stack ?? "");
    }
    return exitCodeOf(told);
  }
}

const wantsDetail = (argv: readonly string[], { env }: Shell): boolean =>
  /^(debug|trace)$/.test(argv[argv.indexOf("--log-level") + 1] ?? "") ||
  /^(debug|trace)$/.test(env.DATAHAMMER_LOG_LEVEL ?? "");

/** Commander's words in our form: `error: …` and `remedy: …`. */
function usageError(error: CommanderError): InvalidInputError {
  const [first = "", ...rest] = error.message.replace(/^error: /, "").split("\n");
  const hint = rest
    .join(" ")
    .trim()
    .replace(/^\((.*)\)$/, "$1");
  return new InvalidInputError("E_USAGE", first, {
    remedy:
      hint === "" ? "`datahammer --help` lists the commands, `datahammer COMMAND --help` its flags." : hint,
    cause: error,
  });
}

function buildProgram(shell: Shell, onExit: (code: ExitCode) => void): Commander {
  const program = new Commander("datahammer")
    .description(
      "Actor-model agent swarm runtime: plans goals into graphs of steps and runs them over agents.",
    )
    .version(productVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [COMMAND]", "print the help of a command")
    .option("--nats <url>", "broker to use instead of the daemon's own (DATAHAMMER_NATS)")
    .option("--token <token>", "secret for the broker (DATAHAMMER_TOKEN)")
    .option("--creds <file>", "NATS credentials file (DATAHAMMER_CREDS)")
    .option("--swarm <name>", "swarm on the broker, default main (DATAHAMMER_SWARM)")
    .option("--store <dir>", "folder of the daemon, default ./.datahammer (DATAHAMMER_STORE)")
    .option("--json", "print JSON on stdout and nothing else there")
    .option("--log-level <level>", "trace, debug, info, warn, error, fatal or silent (DATAHAMMER_LOG_LEVEL)")
    .showSuggestionAfterError(true)
    .configureHelp({ sortSubcommands: false, showGlobalOptions: true, subcommandTerm })
    .configureOutput({
      writeOut: (text) => shell.stdout.write(text),
      writeErr: (text) => shell.stderr.write(text),
      outputError: () => {}, // Told by `runProgram`, in one form for all errors.
    })
    .exitOverride();

  /** Declares a command; `load` imports its function when it is called. */
  const command = <Options>(
    usage: string,
    summary: string,
    load: () => Promise<Command<Options>>,
    shape: (declared: Commander) => Commander = (declared) => declared,
    options: (args: (string | string[] | undefined)[], flags: Record<string, unknown>) => object = (
      _,
      flags,
    ) => flags,
    parent: Commander = program,
  ): Commander => {
    const declared = shape(parent.command(usage).description(summary));
    // Commander calls back with each argument, then the flags, then the command.
    declared.action(async (...given: unknown[]) => {
      const flags = declared.opts();
      const args = given.slice(0, -2) as (string | string[] | undefined)[];
      const call = invocation(shell, { ...program.opts<GlobalFlags>(), ...daemonFlags(declared, flags) });
      const run = await load();
      onExit(await run(call, options(args, flags) as Options));
    });
    return declared;
  };
  const withRun = ([run]: (string | string[] | undefined)[], flags: Record<string, unknown>) => ({
    ...flags,
    run,
  });
  const withArchive = (declared: Commander): Commander =>
    declared.option("--archive <path>", "read it from this archive, or folder of archives");
  const withFinished = (declared: Commander): Commander =>
    declared
      .option("--older <duration>", "only those that ended at least so long ago, such as 30d")
      .option("--status <status>", "only those that ended as done, failed or cancelled");

  command(
    "demo",
    "the main job: a swarm of processes makes a report on a data set",
    async () => (await import("./commands/demo.ts")).demo,
    (declared) =>
      declared
        .option("--data <file>", "CSV, TSV, JSON or Parquet; default: a bundled table of movies")
        .option("--goal <text>", "what you want to know, in words")
        .option("--out <dir>", "folder for the report, default ./datahammer-report"),
  );
  command(
    "up",
    "start the daemon, with a broker of its own unless --nats names one",
    async () => (await import("./commands/up.ts")).up,
    (declared) =>
      declared
        .option(
          "--http <host:port>",
          "serve the inspector page, the API and health checks there (DATAHAMMER_HTTP)",
        )
        .option("--http-token <token>", "secret that the page and the API ask for (DATAHAMMER_HTTP_TOKEN)")
        .option(
          "--keep <duration>",
          "remove finished runs after so long, such as 30d; default: never (DATAHAMMER_KEEP)",
        )
        .option("--archive-to <dir>", "archive runs there before they are removed (DATAHAMMER_ARCHIVE_TO)")
        .option("--max-runs <n>", "runs that it holds at once, default 1000 (DATAHAMMER_MAX_RUNS)")
        .option(
          "--ack-wait <duration>",
          "a run whose daemon is silent for so long goes to another, default 10s (DATAHAMMER_ACK_WAIT)",
        )
        .option(
          "--role-absence <duration>",
          "planned runs go round a role that nobody serves for so long, default 10s (DATAHAMMER_ROLE_ABSENCE)",
        )
        .option("--replicas <n>", "copies of what is stored, for a cluster, default 1 (DATAHAMMER_REPLICAS)")
        .option("--fsync <when>", "of the managed broker: interval (default) or always (DATAHAMMER_FSYNC)")
        .option("--agents <files...>", "serve these agent files, each in a process of its own"),
  );
  command(
    "agent <files...>",
    "join the agents that files export, as this process",
    async () => (await import("./commands/agent.ts")).agent,
    (declared) => declared.option("--concurrency <n>", "tasks at once, over all roles; default 8"),
    ([files], flags) => ({ ...flags, files }),
  );
  command(
    "run [file]",
    "submit a workflow, or goals, and watch it to its end",
    async () => (await import("./commands/run.ts")).run,
    (declared) =>
      declared
        .option("--goal <texts...>", "plan towards this instead of running a file")
        .option("--want <keys...>", "environment keys that the plan has to reach")
        .option("--have <file>", "JSON object: the environment to start from")
        .option("--input <pairs...>", "KEY=VALUE; a value is JSON, or else text")
        .option("--input-file <file>", "JSON or YAML object of inputs")
        .option("--secret <keys...>", "inputs and environment keys that are shown to nobody but the agents")
        .option("--run <id>", "id of the run; default: made up")
        .option("--budget <limits...>", "what it may spend: tokens=N usd=N wall=DURATION dispatches=N")
        .option(
          "--ask <duration>",
          "of goals: ask people for so long what to do about a step that failed for good",
        )
        .option("--agents <files...>", "serve these agent files while it runs, each in a process of its own")
        .option("--concurrency <n>", "tasks at once in each of these processes; default 8")
        .option("--detach", "submit and return")
        .option("--timeout <duration>", "stop waiting after this long; the run goes on"),
    ([file], flags) => (file === undefined ? flags : { ...flags, file }),
  );
  command(
    "validate <file>",
    "check a workflow without running it",
    async () => (await import("./commands/validate.ts")).validate,
    undefined,
    ([file]) => ({ file }),
  );
  command(
    "plan",
    "print the workflow that goals would give, without running it",
    async () => (await import("./commands/plan.ts")).plan,
    (declared) =>
      declared
        .option("--goal <texts...>", "what is wanted, in words")
        .option("--want <keys...>", "environment keys that are wanted")
        .option("--have <file>", "JSON object: the environment to start from")
        .option("--input <pairs...>", "KEY=VALUE; a value is JSON, or else text")
        .option("--input-file <file>", "JSON or YAML object of inputs")
        .option("--capabilities <file>", "plan offline with these; default: the agents that are present")
        .option("--format <format>", "text or mermaid")
        .option("--time-limit <duration>", "end the search after this long; default 10s"),
  );
  command(
    "runs",
    "list the runs, newest first",
    async () => (await import("./commands/runs.ts")).runs,
    (declared) =>
      declared
        .option("--status <status>", "only runs of this status")
        .option("--limit <n>", "at most so many"),
  );
  command(
    "show <run>",
    "print one run as it stands, or stood",
    async () => (await import("./commands/runs.ts")).show,
    (declared) => withArchive(declared).option("--at <moment>", "as it was then, like in trace"),
    withRun,
  );
  command(
    "watch <run>",
    "follow a run live until it ends",
    async () => (await import("./commands/watch.ts")).watch,
    undefined,
    withRun,
  );
  command(
    "trace <run> [others...]",
    "print every state transition, replayed from the log; `trace diff RUN RUN` compares two",
    async () => (await import("./commands/trace.ts")).trace,
    (declared) =>
      withArchive(declared)
        .usage("<run>  |  diff <run> <run>")
        .option("--step <id>", "only this step, in detail")
        .option("--format <format>", "text, json, mermaid, perfetto or otlp")
        .option("--at <moment>", "as it was then: a log sequence, +30s, 14:03 or a date and time")
        .option("--follow", "print each transition as it happens, until the run ends"),
    ([run, others], flags) => ({ ...flags, run, others }),
  );
  command(
    "why <run> [step]",
    "tell why a step went as it did, or why the run took so long",
    async () => (await import("./commands/why.ts")).why,
    (declared) => withArchive(declared).option("--at <moment>", "as it was then, like in trace"),
    ([run, step], flags) => ({ ...flags, run, ...(step === undefined ? {} : { step }) }),
  );
  command(
    "diff <run> <other>",
    "tell where two runs went different ways",
    async () => (await import("./commands/why.ts")).diff,
    withArchive,
    ([one, other], flags) => ({ ...flags, one, other }),
  );
  command(
    "env <run> [words...]",
    "print the environment, or one KEY of it (dots go inside); `env RUN set KEY JSON` writes",
    async () => (await import("./commands/env.ts")).env,
    (declared) =>
      withArchive(declared)
        .usage("<run> [key]  |  <run> set <key> <json>")
        .option("--if-revision <n>", "write only if the key still has this revision")
        .option("--history", "every write of the environment, or of the key: when, by whom, what")
        .option("--follow", "what is there, then every update in order, until the run ends")
        .option("--after <revision>", "with --follow: every update after this revision instead")
        .option("--at <moment>", "as it was then, like in trace"),
    ([run, words], flags) => ({ ...flags, run, words }),
  );
  command("agents", "list who is present", async () => (await import("./commands/members.ts")).agents);
  const roles = command(
    "roles",
    "list the roles' queues",
    async () => (await import("./commands/members.ts")).roles,
  );
  command(
    "add <role>",
    "create a role's queue, or change it",
    async () => (await import("./commands/members.ts")).addRole,
    (declared) =>
      declared
        .option("--encoding <encoding>", "json or msgpack")
        .option("--in-flight <n>", "tasks of the role in progress at once, over all agents")
        .option("--ack-wait <duration>", "a task whose holder is silent for so long is given to another"),
    ([role], flags) => ({ ...flags, role }),
    roles,
  );
  command(
    "cancel <run>",
    "end a run, or one step of it; agents are told to stop what they do for it",
    async () => (await import("./commands/cancel.ts")).cancel,
    (declared) =>
      declared
        .option("--step <id>", "only this step; its onFailure says what that means for the run")
        .option("--reason <text>", "why, for the log and the agents"),
    withRun,
  );
  for (const [verb, summary] of CONTROL_SUMMARIES) {
    command(
      `${verb} <run>`,
      summary,
      async () => (await import("./commands/control.ts")).control,
      (declared) => withControlFlags(declared, verb),
      ([run], flags) => ({ ...flags, verb, run }),
    );
  }
  for (const [verb, argument, summary] of ANSWER_SUMMARIES) {
    command(
      `${verb} <run> <${argument}> [json]`,
      summary,
      async () => (await import("./commands/control.ts")).control,
      undefined,
      ([run, about, json]) => ({ verb, run, [argument]: about, ...(json === undefined ? {} : { json }) }),
    );
  }
  command(
    "archive [runs...]",
    "write finished runs to files that trace, show and env can read",
    async () => (await import("./commands/purge.ts")).archive,
    (declared) => withFinished(declared).option("--out <dir>", "folder of the files"),
    ([runs], flags) => ({ ...flags, runs }),
  );
  command(
    "purge [runs...]",
    "remove finished runs with their logs, tasks and artifacts",
    async () => (await import("./commands/purge.ts")).purge,
    (declared) =>
      withFinished(declared)
        .option("--archive-to <dir>", "archive each one there first")
        .option("--yes", "do not ask"),
    ([runs], flags) => ({ ...flags, runs }),
  );
  command(
    "sim",
    "live a run again in virtual time while things go wrong, and judge it",
    async () => (await import("./commands/sim.ts")).sim,
    (declared) =>
      withArchive(declared)
        .option("--from-run <run>", "the run whose agents and people are played")
        .option("--seeds <n>", "how many lives; default 1")
        .option("--seed <s>", "the first seed; default 1")
        .option(
          "--faults <kinds>",
          "what goes wrong: loss,duplication,delay,crash,…, or all; default nothing",
        )
        .option("--kill-daemon", "kill the daemon that holds the run, once in each life")
        .option("--slow <pairs...>", "ROLE=2x: tasks of this role take longer")
        .option("--fail <steps...>", "STEP or STEP=2: it fails, always or at its first attempts")
        .option("--max-parallel <n>", "instead of the workflow's own")
        .option("--history", "print everything that happened"),
  );
  for (const [name, summary] of [
    ["rerun", "run a workflow again: all of it, or from a step on, as a new run"],
    ["fork", "go on from how a run stood at a log sequence, as a new run"],
  ] as const) {
    command(
      `${name} <run>`,
      summary,
      async () => (await import("./commands/rerun.ts"))[name],
      (declared) =>
        declared
          .option("--from <step>", "do this step and what depends on it again; take over the others")
          .option("--at <seq>", "take over what the log held up to this sequence")
          .option("--run <id>", "id of the new run; default: made up")
          .option("--budget <limits...>", "what it may spend: tokens=N usd=N wall=DURATION dispatches=N"),
      ([run], flags) => ({ from: flags.from, at: flags.at, budget: flags.budget, newRun: flags.run, run }),
    );
  }
  command(
    "machines [name]",
    "print the step, run and agent machines as plain XState configurations",
    async () => (await import("./commands/machines.ts")).machines,
    (declared) =>
      declared.option("--format <format>", "json, or ts for a module to paste into Stately's editor", "json"),
    ([name], flags) => ({ ...flags, ...(name === undefined ? {} : { name }) }),
  );
  command(
    "doctor",
    "check Node, broker, rights, store and clock",
    async () => (await import("./commands/doctor.ts")).doctor,
  );
  command(
    "completion <shell>",
    "print a completion script for bash, zsh or fish",
    async () => (await import("./commands/completion.ts")).completion,
    undefined,
    ([name]) => ({ name, words: completionWords(program) }),
  );
  return program;
}

function withControlFlags(declared: Commander, verb: ControlName): Commander {
  if (verb === "retry") declared.option("--step <id>", "only this step; default: all that failed");
  if (verb === "retry" || verb === "resume")
    declared.option(
      "--budget <limits...>",
      "new limits of the run: tokens=N usd=N wall=DURATION dispatches=N",
    );
  return declared;
}

/** Settings that are flags of `up` (and one of `purge`); other commands' flags may share a name with them. */
const UP_SETTINGS = [
  "http",
  "httpToken",
  "maxRuns",
  "ackWait",
  "roleAbsence",
  "replicas",
  "fsync",
  "keep",
  "archiveTo",
] as const;

function daemonFlags(declared: Commander, flags: Record<string, unknown>): GlobalFlags {
  if (declared.name() !== "up" && declared.name() !== "purge") return {};
  return Object.fromEntries(
    Object.entries(flags).filter(([name]) => UP_SETTINGS.some((key) => key === name)),
  );
}

const CONTROL_SUMMARIES: readonly (readonly [ControlName, string])[] = [
  ["pause", "give out no more steps of a run; what runs goes on"],
  ["resume", "go on with a paused run"],
  ["retry", "give the failed steps of a failed run a new chance"],
];

const ANSWER_SUMMARIES: readonly (readonly [ControlName, "step" | "name", string])[] = [
  ["approve", "step", "let a waiting step go on, or answer its question with JSON"],
  ["reject", "step", "say no to a waiting step: it fails, with JSON as the reason"],
  ["signal", "name", "send JSON to the step that waits for this signal, or will"],
];

/** Commands by name with their flags, the global ones included. */
function completionWords(program: Commander): Record<string, string[]> {
  const flagsOf = (declared: Commander): string[] =>
    declared.options.flatMap(({ long }) => (long === undefined || long === null ? [] : [long]));
  const global = flagsOf(program);
  return Object.fromEntries(
    program.commands.map((declared) => [declared.name(), [...flagsOf(declared), ...global]]),
  );
}

/** Arguments in capitals in the list of commands: `run [FILE]`. */
function subcommandTerm(this: Help, declared: Commander): string {
  const args = declared.registeredArguments.map((argument) => {
    const name = `${argument.name().toUpperCase()}${argument.variadic ? "…" : ""}`;
    return argument.required ? name : `[${name}]`;
  });
  return [declared.name(), ...args].join(" ");
}
