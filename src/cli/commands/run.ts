/** `run FILE`: submits a workflow, or goals, and watches it to its end. */

import type { SubmitRequest } from "../../client/swarm.ts";
import { InvalidInputError, InvalidWorkflowError, UnreachableError } from "../../workflow/errors.ts";
import { parseWorkflow } from "../../workflow/parse.ts";
import { budgetFlag } from "../budget-flag.ts";
import { findEndpoint, withClient } from "../connection.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { concurrencyFlag, durationFlag, readGivenFile, readInputs, readObjectFile } from "../given-file.ts";
import { type HostedSwarm, hostSwarm, tellWhereToLook } from "../hosted-swarm.ts";
import type { Command, Invocation } from "../invocation.ts";
import { exitCodeOfRun, runText } from "../run-report.ts";
import { watchRun } from "../watched-run.ts";

/** How long Ctrl-C waits for the run to be cancelled before everything is stopped anyway. */
const CANCEL_WAIT_MS = 5_000;

export interface RunFlags {
  file?: string;
  goal?: string[];
  want?: string[];
  have?: string;
  input?: string[];
  inputFile?: string;
  run?: string;
  budget?: string[];
  ask?: string;
  secret?: string[];
  agents?: string[];
  concurrency?: string;
  detach?: boolean;
  timeout?: string;
}

export const run: Command<RunFlags> = async (call, flags) => {
  const request = await submission(call, flags);
  const timeoutMs = flags.timeout === undefined ? undefined : durationFlag("--timeout", flags.timeout);
  if (flags.detach) return detached(call, flags, request);
  const concurrency = flags.concurrency === undefined ? undefined : concurrencyFlag(flags.concurrency);
  const swarm = await hostSwarm(call, { agents: flags.agents ?? [], concurrency });
  try {
    return await submitAndWatch(call, swarm, request, timeoutMs);
  } finally {
    await swarm.stop();
  }
};

async function submission({ shell }: Invocation, flags: RunFlags): Promise<SubmitRequest> {
  const { file, goal, want } = flags;
  if (file !== undefined && (goal !== undefined || want !== undefined)) {
    throw new InvalidInputError("E_USAGE", "a workflow file and goals were both given", {
      remedy: "Give a FILE to run, or --goal and --want to plan from.",
    });
  }
  if (file === undefined && goal === undefined && want === undefined) {
    throw new InvalidInputError("E_USAGE", "nothing to run was given", {
      remedy: "Name a workflow FILE, or say what you want with --goal TEXT or --want KEY.",
    });
  }
  if (flags.ask !== undefined) {
    durationFlag("--ask", flags.ask);
    if (file !== undefined) {
      throw new InvalidInputError("E_USAGE", "--ask is for goals, and a workflow file was given", {
        remedy: "Write `ask: { after: 30m }` under the file's `defaults`, or at a step.",
      });
    }
  }
  const environment = flags.have === undefined ? undefined : await readObjectFile(flags.have, shell.cwd);
  const inputs = await readInputs(flags.input, flags.inputFile, shell.cwd);
  return {
    inputs,
    ...(flags.run === undefined ? {} : { run: flags.run }),
    ...(flags.budget === undefined ? {} : { budget: budgetFlag(flags.budget) }),
    ...(environment === undefined ? {} : { environment }),
    ...(flags.ask === undefined ? {} : { ask: flags.ask }),
    ...(flags.secret === undefined ? {} : { secrets: flags.secret }),
    ...(goal === undefined ? {} : { goals: goal }),
    ...(want === undefined ? {} : { want }),
    ...(file === undefined ? {} : { workflow: await readWorkflow(file, shell.cwd, environment ?? {}) }),
  };
}

/** Checked before anything is started or sent, so that the lines of the file can be named. */
async function readWorkflow(
  file: string,
  cwd: string,
  environment: Record<string, unknown>,
): Promise<unknown> {
  const { graph, issues } = parseWorkflow(await readGivenFile(file, cwd), {
    environmentKeys: Object.keys(environment),
  });
  if (graph !== undefined) return graph.document;
  throw new InvalidWorkflowError(
    `${file} is no valid workflow: ${issues.length} ${issues.length === 1 ? "error" : "errors"}`,
    issues,
    {
      remedy: `Correct the file; \`datahammer validate ${file}\` checks it without running it.`,
    },
  );
}

async function detached(call: Invocation, flags: RunFlags, request: SubmitRequest): Promise<ExitCode> {
  if (flags.agents !== undefined) {
    throw new InvalidInputError("E_USAGE", "--detach and --agents were both given", {
      remedy: "Agents end with the command: start them with `datahammer agent FILE`, or leave --detach out.",
    });
  }
  if ((await findEndpoint(call)) === undefined) {
    throw new UnreachableError("E_NO_DAEMON", "there is no daemon that could go on with a detached run", {
      remedy: "Start one with `datahammer up`, or leave --detach out.",
    });
  }
  const { run: id } = await withClient(call, (client) => client.submit(request));
  call.output.data({ run: id, status: "planning" }, () => `${id}\n`);
  call.output.notice(`follow it with \`datahammer watch ${id}\``);
  return EXIT.done;
}

async function submitAndWatch(
  call: Invocation,
  swarm: HostedSwarm,
  request: SubmitRequest,
  timeoutMs: number | undefined,
): Promise<ExitCode> {
  const { output } = call;
  const { client } = swarm;
  const { run: id } = await client.submit(request);
  tellWhereToLook(call, swarm, id);
  const { view, because } = await watchRun(call, client, id, { timeoutMs });
  if (because === "ended") {
    output.data(view, () => runText(view, output.colors));
    return exitCodeOfRun(view);
  }
  if (because === "timeout") {
    output.data(view, () => runText(view, output.colors));
    throw new UnreachableError("E_TIMEOUT", `run ${id} did not end within the ${timeoutMs} ms of --timeout`, {
      remedy:
        swarm.daemon === undefined
          ? `It goes on: \`datahammer watch ${id}\`, or \`datahammer cancel ${id}\`.`
          : `It is kept in the store and goes on with the next \`datahammer up\`; \`datahammer cancel ${id}\` ends it then.`,
      data: { run: id, timeoutMs },
    });
  }
  if (swarm.daemon === undefined) {
    output.notice(
      `run ${id} goes on: \`datahammer watch ${id}\` follows it, \`datahammer cancel ${id}\` ends it`,
    );
    output.data(view, () => "");
  } else {
    // Nobody else would end it, and it would come to life again with the next daemon on this store.
    const ended = await cancelAndWait(call, swarm, id);
    output.data(ended, () => runText(ended, output.colors));
  }
  return EXIT.interrupted;
}

/** Cancels a run of one's own swarm and waits for its end, within a bound. Resolves with how it stands. */
export async function cancelAndWait({ shell }: Invocation, { client }: HostedSwarm, id: string) {
  const over = new AbortController();
  const timer = shell.clock.setTimeout(() => over.abort(), CANCEL_WAIT_MS);
  try {
    await client.control(id, { verb: "cancel", value: "interrupted" });
    return await client.watch(id, () => {}, { signal: over.signal });
  } finally {
    shell.clock.clearTimeout(timer);
  }
}
