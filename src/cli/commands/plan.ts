/** `plan`: what a run of these goals would do, and why, without running it. */
import { stringify } from "yaml";
import { makeRunId } from "../../client/run-id.ts";
import { makeAdvisor } from "../../daemon/advisor.ts";
import { PlannerVisit } from "../../daemon/planner-visit.ts";
import { type AdviceRequest, planWithAdvice } from "../../planner/advised-planning.ts";
import { parseCapabilities } from "../../planner/capabilities-file.ts";
import type { Advisor } from "../../planner/counsel.ts";
import { planDiagram } from "../../planner/plan-diagram.ts";
import { type Plan, WorkflowPlanner } from "../../planner/planner.ts";
import type { RoleCard } from "../../workflow/capability.ts";
import { DataHammerError, InvalidInputError } from "../../workflow/errors.ts";
import { parseDuration } from "../../workflow/names.ts";
import { hasPlanner } from "../../workflow/planner-task.ts";
import { connectBus, endpointOf } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import { readGivenFile, readInputs, readObjectFile } from "../given-file.ts";
import type { Command, Invocation } from "../invocation.ts";
import { table } from "../output.ts";

export interface PlanFlags {
  goal?: string[];
  want?: string[];
  have?: string;
  capabilities?: string;
  input?: string[];
  inputFile?: string;
  format?: string;
  timeLimit?: string;
}

const DEFAULT_TIME_LIMIT = "10s";
/** Tasks that were left out, as far as they are listed for people; `--json` has all of them. */
const LEFT_OUT_SHOWN = 20;

export const plan: Command<PlanFlags> = async (call, flags) => {
  const { shell, output } = call;
  const asDiagram = isDiagram(flags.format);
  const timeLimitMs = durationFlag(flags.timeLimit ?? DEFAULT_TIME_LIMIT);
  const environment = flags.have === undefined ? {} : await readObjectFile(flags.have, shell.cwd);
  const inputs = await readInputs(flags.input, flags.inputFile, shell.cwd);
  const options = { inputs, explain: true, ...(flags.want === undefined ? {} : { want: flags.want }) };
  const planWith = (cards: RoleCard[], ask?: (request: AdviceRequest) => Advisor): Promise<Plan> => {
    const now = () => shell.clock.monotonic();
    const planner = new WorkflowPlanner({ capabilities: cards, timeLimitMs, now });
    const request = { goals: flags.goal, environment, cards, options };
    return planOf(call, planner, request, ask && hasPlanner(cards, "plan") ? [ask(request)] : []);
  };
  const { capabilities } = flags;
  const found =
    capabilities === undefined
      ? await inSwarm(call, planWith)
      : await planWith(parseCapabilities(await readGivenFile(capabilities, shell.cwd), capabilities));
  if (asDiagram) {
    const mermaid = planDiagram(found);
    output.data({ mermaid }, () => mermaid);
    return EXIT.done;
  }
  explain(call, found);
  // The document itself goes to stdout: `datahammer plan … > workflow.yaml` makes a file that runs.
  output.data(found, () => stringify(found.workflow));
  return EXIT.done;
};

/** With the advice of the swarm's own planner and of a model, as a run has it, and a line of what became of each. */
async function planOf(
  call: Invocation,
  planner: WorkflowPlanner,
  request: AdviceRequest,
  own: readonly Advisor[],
): Promise<Plan> {
  const { settings, shell, output } = call;
  const model = settings.model && makeAdvisor(settings.model, shell.clock, shell.interrupted);
  for (const advisor of model === undefined ? own : [...own, model]) {
    const { outcome, advice } = await planWithAdvice(planner, advisor, request);
    if (advice !== undefined) output.notice(`${advice.note} (${advice.usage.tokens} tokens)`);
    if (advisor.decides === true && advice?.taken !== true) continue;
    if (outcome instanceof DataHammerError) throw outcome;
    return outcome;
  }
  return planner.createWorkflow(request.goals, request.environment, request.options);
}

/** With the agents that are present, among them perhaps a planner. */
async function inSwarm(
  call: Invocation,
  planWith: (cards: RoleCard[], ask: (request: AdviceRequest) => Advisor) => Promise<Plan>,
): Promise<Plan> {
  const { clock, random } = call.shell;
  const bus = await connectBus(call, await endpointOf(call), "datahammer-cli");
  const visit = new PlannerVisit(bus, clock, makeRunId("plan", clock.now(), random));
  try {
    // Agents of one role are interchangeable: one card of each will do.
    const cards = new Map<string, RoleCard>();
    for (const { roles } of await bus.presence.list()) for (const card of roles) cards.set(card.role, card);
    return await planWith([...cards.values()], (request) => visit.advisor(request));
  } finally {
    await visit.leave();
    await bus.close();
  }
}

function isDiagram(format: string | undefined): boolean {
  if (format === undefined || format === "text") return false;
  if (format === "mermaid") return true;
  throw new InvalidInputError("E_USAGE", `--format "${format}" is no format of a plan`, {
    remedy: "Use text or mermaid; --json prints everything as JSON.",
  });
}

function durationFlag(text: string): number {
  const limitMs = parseDuration(text);
  if (limitMs !== undefined && limitMs >= 1) return Math.ceil(limitMs);
  throw new InvalidInputError("E_USAGE", `--time-limit "${text}" is no duration`, {
    remedy: "Write it like 500ms, 10s or 2m.",
  });
}

function explain({ output }: Invocation, found: Plan): void {
  if (output.json) return;
  const { noticeColors: colors } = output;
  const { workflow, cost, explored, reasons, explanation, goalMatches = [] } = found;
  for (const { goal, key, role, task, confidence, runnerUp } of goalMatches) {
    const next = runnerUp && `; next ${runnerUp.role}.${runnerUp.task}, ${percent(runnerUp.confidence)}`;
    const sure = `${role}.${task}, ${percent(confidence)} sure${next ?? ""}`;
    output.notice(`“${goal}” asks for ${colors.bold(key)} ${colors.dim(`(${sure})`)}`);
  }
  const head = `${workflow.steps.length} steps, cost ${cost}: ${proofOf(found)} (${explored} nodes explored)`;
  output.notice(colors.bold(head));
  const about = new Map(explanation?.steps.map((step) => [step.step, step]));
  const rows = workflow.steps.map(({ id, agent, task }) => {
    const step = about.get(id);
    const price = step === undefined ? "" : `${step.cost}${step.estimated ? "?" : ""}`;
    return [id, `${agent}: ${task}`, price, `${reasons[id] ?? ""} ${step?.why ?? ""}`];
  });
  output.notice(table(["STEP", "BY", "COST", "WHY"], rows, colors).trimEnd());
  const leftOut = explanation?.leftOut ?? [];
  for (const { role, task, why } of leftOut.slice(0, LEFT_OUT_SHOWN)) {
    output.notice(colors.dim(`left out: ${role}: ${task}. ${why}`));
  }
  const more = leftOut.length - LEFT_OUT_SHOWN;
  if (more > 0) output.notice(colors.dim(`left out: ${more} more; --json has them`));
  output.notice("");
}

function proofOf({ optimal, bound, gap }: Plan): string {
  if (optimal) return "no plan costs less";
  return `none costs less than ${Number(bound.toFixed(3))}, so a cheaper one saves at most ${percent(gap)}`;
}

const percent = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
