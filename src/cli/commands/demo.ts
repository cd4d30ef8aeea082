/**
 * `demo`: the data-report swarm on a data set: broker, daemon, one process for each role, a plan from the goal,
 * a report.
 *
 * The agents and their libraries are optional, so they are imported only when it is called.
 */
import { access } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { SwarmClient, WatchEvent } from "../../client/swarm.ts";
import { formatDuration } from "../../trace/duration.ts";
import { traceRun } from "../../trace/replay.ts";
import type { RunView } from "../../trace/view.ts";
import { DataHammerError, InvalidInputError, NotFoundError } from "../../workflow/errors.ts";
import type { ServedRole } from "../agent-processes.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { type HostedSwarm, hostSwarm, tellWhereToLook } from "../hosted-swarm.ts";
import type { Command, Invocation } from "../invocation.ts";
import { exitCodeOfRun, runText } from "../run-report.ts";
import { watchRun } from "../watched-run.ts";
import { cancelAndWait } from "./run.ts";

export interface DemoFlags {
  data?: string;
  goal?: string;
  out?: string;
}

const DEFAULT_OUT = "datahammer-report";

type DataReport = typeof import("../../../examples/data-report/swarm.ts");

export const demo: Command<DemoFlags> = async (call, flags) => {
  const { shell, output } = call;
  const job = await loadJob();
  const data = flags.data === undefined ? job.defaultDataPath() : resolve(shell.cwd, flags.data);
  const goal = flags.goal ?? (flags.data === undefined ? job.DEFAULT_MOVIES_GOAL : job.DEFAULT_GOAL);
  const out = resolve(shell.cwd, flags.out ?? DEFAULT_OUT);
  // Before anything is started: data that cannot be read needs no swarm to be told.
  const environment = await startingPoint(job, data, goal, out);
  const { bold, dim } = output.noticeColors;
  output.notice(`${bold("goal")}    ${goal}`);
  output.notice(`${bold("data")}    ${data}`);
  output.notice(dim(`starting a process for each of ${job.ROLES.length} roles …`));
  const swarm = await hostSwarm(call, { agents: job.AGENT_MODULES.map((module) => fileURLToPath(module)) });
  try {
    const served = swarm.agents?.served ?? [];
    const broker = swarm.daemon?.brokerPid;
    const where = broker === undefined ? "" : dim(` (process ${broker})`);
    output.notice(`${bold("broker")}  ${swarm.endpoint.url}${where}`);
    output.notice(
      `${bold("agents")}  ${served.map(({ role, pid }) => `${role} ${dim(String(pid))}`).join("  ")}`,
    );
    const { run } = await swarm.client.submit({ goals: goal, want: [...job.WANT], environment });
    tellWhereToLook(call, swarm, run);
    const watched = await watchRun(call, swarm.client, run, { onEvent: planTeller(call) });
    if (watched.because === "interrupted") return await interrupted(call, swarm, { run, goal, served });
    return await finish(call, swarm, job, { goal, served, view: watched.view });
  } finally {
    await swarm.stop();
  }
};

async function loadJob(): Promise<DataReport> {
  try {
    return await import("../../../examples/data-report/swarm.ts");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new DataHammerError(
      "E_NOT_INSTALLED",
      `the demo needs a library that is not installed: ${(error as Error).message}`,
      {
        remedy: "Install the optional dependencies: `npm ci` (or `npm install`) without --omit=optional.",
        cause: error,
      },
    );
  }
}

async function startingPoint(
  job: DataReport,
  data: string,
  goal: string,
  out: string,
): Promise<Record<string, unknown>> {
  await access(data).catch((cause: unknown) => {
    throw new NotFoundError("E_FILE_NOT_FOUND", `there is no readable file ${data}`, {
      remedy: "Check the path.",
      data: { path: data },
      cause,
    });
  });
  try {
    return await job.startingEnvironment(data, goal, out);
  } catch (error) {
    if (error instanceof DataHammerError || !(error instanceof Error)) throw error;
    throw new InvalidInputError("E_DATA", error.message, {
      remedy: "Mend the file, or give another with --data: CSV, TSV, JSON or Parquet.",
      data: { path: data },
      cause: error,
    });
  }
}

/** Says once, when there is a plan, what it is and why. */
function planTeller({ output }: Invocation): (event: WatchEvent) => void {
  let told = false;
  return ({ fold }) => {
    const { plan, graph } = fold;
    if (told || plan === undefined || graph === undefined) return;
    told = true;
    const { bold, dim } = output.noticeColors;
    const proof = plan.optimal ? "no plan costs less" : "the best found";
    output.notice(`${bold("plan")}    ${graph.size} steps, cost ${plan.cost}: ${proof}`);
    for (const { id } of graph.steps()) {
      const reason = plan.reasons[id];
      if (reason !== undefined) output.notice(dim(`        ${id}: ${reason}`));
    }
    output.notice("");
  };
}

interface Finished {
  goal: string;
  served: readonly ServedRole[];
  view: RunView;
}

async function finish(
  call: Invocation,
  swarm: HostedSwarm,
  job: DataReport,
  { goal, served, view }: Finished,
): Promise<ExitCode> {
  const { output } = call;
  const made = view.status === "done" ? job.reportOf(view.environment) : undefined;
  if (made !== undefined) await addTrace(call, swarm.client, job, view.run, made.path);
  output.data(summary({ goal, served, view }, made?.path ?? null), () => {
    if (made === undefined) return runText(view, output.colors);
    return doneText(call, swarm, view, made);
  });
  return exitCodeOfRun(view);
}

/** The report is whole without its trace: a failure to add it is told, and no more. */
async function addTrace(
  { output }: Invocation,
  client: SwarmClient,
  job: DataReport,
  run: string,
  path: string,
): Promise<void> {
  try {
    await job.appendTrace(path, await traceRun(run, client.records(run)));
  } catch (error) {
    output.notice(
      `the trace could not be added to the report: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function summary({ goal, served, view }: Finished, report: string | null): Record<string, unknown> {
  const states = Object.values(view.steps);
  return {
    run: view.run,
    status: view.status,
    goal,
    steps: {
      done: states.filter(({ state }) => state === "done").length,
      failed: states.filter(({ state }) => state === "failed").length,
    },
    agents: served,
    report,
    durationMs: view.durationMs,
    ...(view.error === undefined ? {} : { error: view.error }),
  };
}

function doneText(
  { shell, output }: Invocation,
  swarm: HostedSwarm,
  view: RunView,
  made: { path: string; logbook: string },
): string {
  const { bold, dim, green, cyan } = output.colors;
  const near = (path: string): string => {
    const short = relative(shell.cwd, path);
    return short.startsWith("..") ? path : `./${short}`;
  };
  const width = Math.max(near(made.path).length, near(made.logbook).length);
  const again = swarm.daemon === undefined ? "" : dim("   (start `datahammer up` first)");
  return [
    "",
    `${green("✔")} ${bold("The report is ready")} ${dim(`after ${formatDuration(view.durationMs)}`)}`,
    "",
    `  report   ${cyan(near(made.path).padEnd(width))}   ${dim("open it in a browser")}`,
    `  logbook  ${cyan(near(made.logbook).padEnd(width))}   ${dim("every step with the SQL it ran, for Jupyter")}`,
    "",
    `  next     datahammer trace ${view.run}${again}`,
    `           datahammer demo --data FILE --goal "what you want to know"`,
    "",
  ].join("\n");
}

async function interrupted(
  call: Invocation,
  swarm: HostedSwarm,
  { run, goal, served }: { run: string; goal: string; served: readonly ServedRole[] },
): Promise<ExitCode> {
  // Its agents end with this command: nobody would ever finish the run.
  const view = await cancelAndWait(call, swarm, run);
  call.output.data(summary({ goal, served, view }, null), () => runText(view, call.output.colors));
  return EXIT.interrupted;
}
