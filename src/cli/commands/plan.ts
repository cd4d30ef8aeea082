/** `plan`: what a run of these goals would do, without running it. */
import { stringify } from "yaml";
import { parseCapabilities } from "../../planner/capabilities-file.ts";
import { type Plan, WorkflowPlanner } from "../../planner/planner.ts";
import type { RoleCard } from "../../workflow/capability.ts";
import { withClient } from "../connection.ts";
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
}

export const plan: Command<PlanFlags> = async (call, flags) => {
  const { shell, output } = call;
  const environment = flags.have === undefined ? {} : await readObjectFile(flags.have, shell.cwd);
  const inputs = await readInputs(flags.input, flags.inputFile, shell.cwd);
  const planner = new WorkflowPlanner({ capabilities: await knownCapabilities(call, flags) });
  const found = planner.createWorkflow(flags.goal, environment, {
    inputs,
    ...(flags.want === undefined ? {} : { want: flags.want }),
  });
  explain(call, found);
  const { workflow, cost, optimal, explored, rejected, reasons, want } = found;
  // The document itself goes to stdout: `datahammer plan … > workflow.yaml` makes a file that runs.
  output.data({ workflow, cost, optimal, explored, rejected, reasons, want }, () => stringify(workflow));
  return EXIT.done;
};

async function knownCapabilities(call: Invocation, flags: PlanFlags): Promise<RoleCard[]> {
  const file = flags.capabilities;
  if (file !== undefined) return parseCapabilities(await readGivenFile(file, call.shell.cwd), file);
  return withClient(call, async (client) => {
    // Agents of one role are interchangeable: one card of each will do.
    const cards = new Map<string, RoleCard>();
    for (const { roles } of await client.agents()) for (const card of roles) cards.set(card.role, card);
    return [...cards.values()];
  });
}

function explain(
  { output }: Invocation,
  { workflow, cost, optimal, explored, rejected, reasons }: Plan,
): void {
  if (output.json) return;
  const { noticeColors: colors } = output;
  const proof = optimal ? "no plan costs less" : "cheaper ones may exist";
  output.notice(
    colors.bold(`${workflow.steps.length} steps, cost ${cost}: ${proof} (${explored} nodes explored)`),
  );
  const rows = workflow.steps.map(({ id, agent, task }) => [id, `${agent}: ${task}`, reasons[id] ?? ""]);
  output.notice(table(["STEP", "BY", "WHY"], rows, colors).trimEnd());
  for (const { role, task, reason } of rejected)
    output.notice(colors.dim(`not used: ${role}: ${task} (${reason})`));
  output.notice("");
}
