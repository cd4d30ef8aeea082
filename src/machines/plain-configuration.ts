/**
 * The machines as other programs read them: plain XState configurations, as JSON, or as a module that can be
 * pasted into Stately's editor and imported by a program.
 *
 * Owns no machine. What a configuration names and cannot hold (guards, actions, how the context begins) stays
 * behind names: in JSON they are strings, in the module stand-ins that let every way be walked.
 */
import { agentMachine } from "./agent.ts";
import { runMachine } from "./run.ts";
import { stepMachine } from "./step.ts";

/** What a configuration is made of, once in JSON. */
export type PlainConfiguration = { id: string; states: Record<string, unknown> } & Record<string, unknown>;

const MACHINES = { step: stepMachine, run: runMachine, agent: agentMachine };
export type MachineName = keyof typeof MACHINES;
export const MACHINE_NAMES = Object.keys(MACHINES) as MachineName[];

export function isMachineName(name: string): name is MachineName {
  return Object.hasOwn(MACHINES, name);
}

export function plainConfiguration(name: MachineName): PlainConfiguration {
  // A context that is worked out from the input is a function, which JSON leaves out.
  return JSON.parse(JSON.stringify(MACHINES[name].config)) as PlainConfiguration;
}

/** TypeScript that makes these machines and exports them as `stepMachine`, `runMachine`, `agentMachine`. */
export function machineModule(names: readonly MachineName[]): string {
  return [`import { setup } from "xstate";\n`, ...names.map(declaration)].join("\n");
}

function declaration(name: MachineName): string {
  const configuration = plainConfiguration(name);
  const guards = namesUnder(configuration.states, "guard");
  const actions = namesUnder(configuration.states, "actions");
  const standIns = [
    ...(guards.length === 0
      ? []
      : [`  guards: { ${guards.map((guard) => `${guard}: () => true`).join(", ")} },`]),
    ...(actions.length === 0
      ? []
      : [`  actions: { ${actions.map((action) => `${action}: () => {}`).join(", ")} },`]),
  ];
  const made = standIns.length === 0 ? "setup({})" : `setup({\n${standIns.join("\n")}\n})`;
  return `export const ${name}Machine = ${made}.createMachine(${JSON.stringify(configuration, null, 2)});\n`;
}

/** The distinct names that stand under a key, at any depth. */
function namesUnder(value: unknown, wanted: string): string[] {
  if (typeof value !== "object" || value === null) return [];
  const found = Object.entries(value).flatMap(([key, inner]) =>
    key === wanted ? ([inner].flat() as string[]) : namesUnder(inner, wanted),
  );
  return [...new Set(found)].sort();
}
