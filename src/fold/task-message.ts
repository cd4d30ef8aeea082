/** The message that gives a ready step out, from where the step stands. */
import type { TaskMessage } from "../bus/messages.ts";
import type { StepContext } from "../machines/step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import type { SecretMask } from "../workflow/secrets.ts";

export interface TaskFacts {
  run: string;
  step: WorkflowStep;
  context: StepContext;
  /** Fixed when the step became ready. */
  inputs: Record<string, unknown>;
  /** The role that has or had a step. */
  roleOf(step: string): string;
  /** Epoch ms. */
  deadline: number | undefined;
  secrets: SecretMask | undefined;
}

export function taskMessage({
  run,
  step,
  context,
  inputs,
  roleOf,
  deadline,
  secrets,
}: TaskFacts): TaskMessage {
  return {
    v: 1,
    run,
    step: step.id,
    n: context.n,
    role: context.role,
    task: context.task,
    inputs,
    attempt: context.attempt,
    ...(step.repeat === undefined ? {} : { iteration: context.iteration }),
    idempotencyKey: idempotencyKey(run, step, context),
    outputs: [...step.outputs],
    handoff: handoffOf(step, context, roleOf),
    ...(deadline === undefined ? {} : { deadline }),
    ...(secrets === undefined ? {} : { secrets: secrets.textsIn(inputs) }),
    ...(context.failures.length === 0 ? {} : { avoid: failedAgents(context) }),
  };
}

/** So many of those that failed last are named (L8). */
const AVOIDED = 8;

function failedAgents({ failures }: StepContext): string[] {
  const agents = failures.flatMap(({ agent }) => agent ?? []);
  return [...new Set(agents.reverse())].slice(0, AVOIDED);
}

/** The same over retries and redeliveries; another for every iteration and every holder. */
function idempotencyKey(run: string, { id, repeat }: WorkflowStep, { iteration, hops }: StepContext): string {
  const round = repeat === undefined ? "" : `:r${iteration}`;
  return `${run}:${id}${round}${hops.length === 0 ? "" : `:h${hops.length}`}`;
}

function handoffOf(
  step: WorkflowStep,
  { hops, handoffReason }: StepContext,
  roleOf: TaskFacts["roleOf"],
): NonNullable<TaskMessage["handoff"]> {
  if (hops.length === 0) return { from: step.dependsOn.map((id) => ({ step: id, role: roleOf(id) })) };
  return { from: hops.map(({ role }) => ({ step: step.id, role })), reason: handoffReason ?? "", hops };
}
