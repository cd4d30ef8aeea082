/** Says why each step is in a plan, and why there is no plan. Text for people, facts in `data`. */
import { distance } from "fastest-levenshtein";
import { NoPlanError } from "../workflow/errors.ts";
import type { AssignedPlan, Assignment } from "./assignment.ts";
import { smallestMissing } from "./missing-keys.ts";
import { compareText, type PlanningProblem, type PlanRejection } from "./problem.ts";

/** Why the step is there: which wanted keys and which later steps rest on it. */
export function reasonFor(step: Assignment, plan: AssignedPlan, want: readonly string[]): string {
  const wanted = step.writes.filter((key) => want.includes(key));
  const clauses: string[] = [];
  if (wanted.length > 0)
    clauses.push(`gives ${list(wanted)}, which ${wanted.length > 1 ? "are" : "is"} wanted`);
  for (const key of step.writes) {
    const readers = plan.readersOf.get(key) ?? [];
    if (readers.length > 0) clauses.push(`gives ${key} to ${list(readers)}`);
  }
  const text = clauses.length === 0 ? "runs what the plan rests on" : clauses.join("; ");
  const guard = step.task.guard;
  return guard === undefined ? sentence(text) : sentence(`${text}; only when \`${guard}\``);
}

/** How many candidates an error names at most. */
const NEAREST_SHOWN = 3;

/** The error for goals that nothing here can reach. */
export function noPlan(problem: PlanningProblem, want: readonly string[]): NoPlanError {
  const { keys: missing, proven } = smallestMissing(problem);
  const blockedBy = problem.rejectedCapabilities
    .filter(({ capability }) => capability.gives.some((key) => missing.includes(key)))
    .map(({ rejection }) => rejection);
  const nearest = nearestTasks(problem, missing);
  const nobody = nobodyGives(problem, missing);
  const purpose = missing.every((key) => want.includes(key)) ? "" : `, which ${list(want)} rests on`;
  const blocked = blockedBy
    .map(({ role, task, reason }) => ` ${role}.${task} would, but ${reason}.`)
    .join("");
  return new NoPlanError("E_NO_PLAN", `No plan reaches ${list(want)}. ${nobody}${purpose}.${blocked}`, {
    remedy: remedyFor(missing, blockedBy, nearest),
    data: { missing, smallest: proven, blockedBy, nearest },
  });
}

/** A key may be given by tasks all of which rest on what is missing. */
function nobodyGives(problem: PlanningProblem, missing: readonly string[]): string {
  const inCircles = missing.filter((key) =>
    problem.tasks.some(
      ({ capability, requires }) => capability.gives.includes(key) && !requires.includes(key),
    ),
  );
  const nowhere = missing.filter((key) => !inCircles.includes(key));
  const parts = nowhere.length > 0 ? [`Nothing gives ${list(nowhere)}`] : [];
  if (inCircles.length > 0)
    parts.push(`${parts.length > 0 ? "n" : "N"}othing that can run gives ${list(inCircles)}`);
  return parts.join(", and ");
}

function remedyFor(
  missing: readonly string[],
  blockedBy: readonly PlanRejection[],
  nearest: readonly { role: string; task: string }[],
): string {
  const give = `Put ${list(missing)} into the environment, or start an agent that gives ${missing.length > 1 ? "them" : "it"}.`;
  if (blockedBy.length > 0) return `Change what set those tasks aside. Or: ${give}`;
  if (nearest.length === 0) return `${give} No capability is there at all.`;
  return `${give} Nearest: ${list(nearest.map(({ role, task }) => `${role}.${task}`))}.`;
}

/** Tasks that give a key with a name like a missing one; the nearest first. */
function nearestTasks(
  problem: PlanningProblem,
  missing: readonly string[],
): { role: string; task: string; gives: string }[] {
  const all = [
    ...problem.tasks.map(({ role, capability }) => ({ role, capability })),
    ...problem.rejectedCapabilities.map(({ rejection, capability }) => ({
      role: rejection.role,
      capability,
    })),
  ];
  const ranked = all.flatMap(({ role, capability }) =>
    capability.gives
      .filter((key) => !missing.includes(key))
      .map((gives) => ({
        role,
        task: capability.name,
        gives,
        far: Math.min(...missing.map((key) => farness(key, gives, capability.name))),
      })),
  );
  ranked.sort((a, b) => a.far - b.far || compareText(`${a.role}.${a.task}`, `${b.role}.${b.task}`));
  const seen = new Set<string>();
  return ranked
    .filter(({ role, task }) => {
      const name = `${role}.${task}`;
      if (seen.has(name)) return false;
      seen.add(name);
      return true;
    })
    .slice(0, NEAREST_SHOWN)
    .map(({ role, task, gives }) => ({ role, task, gives }));
}

/** Edits as a share of the longer name, of the key or of the task, whichever is nearer; 0 is the same. */
function farness(wanted: string, gives: string, task: string): number {
  const share = (other: string): number =>
    distance(wanted.toLowerCase(), other.toLowerCase()) / Math.max(wanted.length, other.length, 1);
  const contained = gives.includes(wanted) || wanted.includes(gives) ? 0.3 : 1;
  return Math.min(share(gives), share(task) + 0.1, contained);
}

/** `a`, `a and b`, `a, b and c`. */
export function list(items: readonly string[]): string {
  if (items.length <= 1) return items[0] ?? "";
  return `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
