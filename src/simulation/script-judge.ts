/**
 * What must come of a random workflow, from the scripts of its tasks alone: what each step gives, and whether
 * it can fail. A second opinion on values, where the reference has one on the meaning of the log.
 */
import type { WorkflowStepDocument } from "../workflow/document.ts";
import type { KeptValues } from "./kept-values.ts";
import type { Reference } from "./reference.ts";
import type { ReferenceStep } from "./reference-step.ts";
import { mostOf } from "./reference-values.ts";
import type { Say } from "./scenario.ts";
import { isSkill } from "./skills.ts";
import { FLAKY_ERROR, givenBy, numberIn, productOf, ROLES, type Script, SPARE_ROLE } from "./workflows.ts";

const SERIAL = "the environment is that of a serial run";

/** The environment is that of a serial run: what each step gives follows from its script and its inputs. */
export function judgeScripts(run: string, reference: Reference, kept: KeptValues, say: Say): void {
  for (const step of reference.steps.values()) {
    const { doc, outcome, parent } = step;
    // What another run has done is judged there.
    if (step.undoes !== undefined || (!hasBegun(step) && step.outcome !== "skipped")) continue;
    // Others that can give the same stood in for a run that was to be planned.
    if (isSkill(step.task)) continue;
    const key = doc.outputs?.[0] ?? "";
    // Whoever took a failed step's place may give the keys of others, too.
    const writer = reference.steps.get(reference.env.get(key)?.step ?? "");
    if (writer !== undefined && writer !== step && writer.role === SPARE_ROLE) continue;
    const is = kept.whole(parent === undefined ? reference.env.get(key)?.value : step.outputs?.[key]);
    const due = dueValue(step, kept);
    if (due !== undefined && JSON.stringify(is) !== JSON.stringify(due))
      say(
        SERIAL,
        `${run} ${key} of ${step.id} is ${JSON.stringify(is)}, a serial run gives ${JSON.stringify(due)}`,
      );
    if (outcome === "skipped" && is !== null)
      say(SERIAL, `${run} ${key} is ${JSON.stringify(is)} though its step was skipped`);
    if (parent === undefined && Number(numberIn(is)) > mostOf(reference.workflow, key))
      say("no value breaks the schema of its key", `${run} ${key} of ${step.id} is ${JSON.stringify(is)}`);
    if (SCRIPTED_ROLES.has(step.role) && !step.givenByPeople)
      expectedOutcome(run, step, mostOf(reference.workflow, key), kept, say);
  }
}

/** Whether there was anything that it could work on. */
function hasBegun({ n, list, lacksInputs, brought }: ReferenceStep): boolean {
  return n > 0 && (list !== undefined || !lacksInputs || brought !== undefined);
}

const SCRIPTED_ROLES: ReadonlySet<string> = new Set(ROLES);

/** What a step has to give; undefined where a person or a recovery decided that. */
function dueValue(step: ReferenceStep, kept: KeptValues): unknown {
  if (step.outcome !== "completed" || step.givenByPeople || !SCRIPTED_ROLES.has(step.role)) return undefined;
  if (step.list === undefined) return givenBy(step.id, inputsOf(step, kept));
  return step.items.map((item) => (item.outputs === null ? null : dueValue(item, kept)));
}

/** What its last dispatch was given. */
function inputsOf({ brought, own }: ReferenceStep, kept: KeptValues): Record<string, unknown> {
  return kept.whole(brought ?? own) as Record<string, unknown>;
}

/** What faults can make of a dispatch, so that its script alone does not tell its outcome. */
const FAULTS_CODES = new Set([
  "E_POISON",
  "E_LOST",
  "E_TIMEOUT",
  "E_QUEUE_TIMEOUT",
  "E_EXECUTION_TIMEOUT",
  "E_HEARTBEAT_TIMEOUT",
  "E_STEP_TIMEOUT",
  "E_NO_ANSWER",
  "E_DEADLINE",
  "E_NO_DAEMON",
  "E_QUESTION",
  "E_SIMULATED",
  "E_CANCELLED",
  // A person said no.
  "E_REJECTED",
]);

function expectedOutcome(run: string, step: ReferenceStep, most: number, kept: KeptValues, say: Say): void {
  const { doc, outcome, errors } = step;
  if ((outcome !== "completed" && outcome !== "failed") || step.list !== undefined) return;
  if (errors.some((code) => FAULTS_CODES.has(code) || code.startsWith("E_UNREACHABLE"))) return;
  if (outcome === "failed" && errors.at(-1) === "E_REPEAT_LIMIT") return repeatLimit(run, step, say);
  if (outcome === "failed" && errors.at(-1) === "E_ENV_SCHEMA") {
    const gave = productOf(step.id, inputsOf(step, kept));
    if (gave <= most)
      say("a step ends as its script says", `${run} ${doc.id} was refused ${gave}: at most ${most}`);
    return;
  }
  const { act, until } = scriptOf(doc);
  const never = ["refuse", "nonsense", "lacking"].includes(act) || (act === "pass" && until > 8);
  const always = act === "work" || act === "midway" || (act === "pass" && until <= 8);
  if (never && outcome === "completed")
    say("a step ends as its script says", `${run} ${doc.id} (${act}) completed`);
  if (always && outcome === "failed")
    say("a step ends as its script says", `${run} ${doc.id} (${act}) failed: ${errors}`);
  const { maxAttempts = 3, nonRetryable = [] } = doc.retry ?? {};
  const hopeless = nonRetryable.includes(FLAKY_ERROR);
  if (act === "flaky" && outcome === "completed" && hopeless)
    say("an error that must not be retried is not", `${run} ${doc.id} completed after it`);
  if (act === "flaky" && outcome === "failed" && maxAttempts > until && !hopeless)
    say(
      "a step ends as its script says",
      `${run} ${doc.id} failed although it had an attempt left: ${errors}`,
    );
}

function repeatLimit(run: string, { id, doc, iteration }: ReferenceStep, say: Say): void {
  const rounds = Number(/\d+/.exec(doc.repeat?.until ?? "")?.[0] ?? 0);
  if (iteration >= rounds || iteration % (doc.repeat?.max ?? 100) !== 0)
    say("a step is repeated as often as it has to be", `${run} ${id} was given up after ${iteration}`);
}

function scriptOf({ inputs }: WorkflowStepDocument): Script {
  return inputs?.script as Script;
}
