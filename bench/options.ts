/** What a benchmark run measures: sizes, rounds, and which parts. */
import { parseArgs } from "node:util";
import { InvalidInputError } from "../src/workflow/errors.ts";

/** What runs when nothing is chosen. */
const USUAL_PARTS = ["chain", "fan", "scaling"] as const;
/** These take minutes, so they have to be named. */
const LONG_PARTS = ["growth", "resume", "planner"] as const;
const PARTS = [...USUAL_PARTS, ...LONG_PARTS] as const;
export type Part = (typeof PARTS)[number];

export interface BenchOptions {
  /** Measured rounds; floor and runtime take turns in each. */
  rounds: number;
  /** Steps of the chain, one at a time. */
  chain: number;
  /** Independent steps. */
  fan: number;
  /** How many of them may be out at once. */
  inFlight: number;
  /** Steps of the smaller graph of the scaling part; the larger one has ten times as many. */
  graph: number;
  /** Runs of the growing swarm, and how often it is measured on the way. */
  runs: number;
  samples: number;
  /** Steps of the runs that are taken on again. */
  resume: readonly number[];
  only: readonly Part[];
  /** Folder for CPU profiles of the measured processes; none are taken without it. */
  profile: string | undefined;
  /** Tiny sizes, to see that it works. */
  smoke: boolean;
}

const DEFAULTS = {
  ...{ rounds: "5", chain: "1000", fan: "5000", "in-flight": "256", graph: "1000" },
  ...{ runs: "20000", samples: "8", resume: "10000,50000,100000" },
};
/** Every path is taken, nothing is measured well. */
const SMOKE = {
  ...{ rounds: "1", chain: "5", fan: "20", "in-flight": "4", graph: "20" },
  ...{ runs: "6", samples: "2", resume: "20,40" },
};

const USAGE = `npm run bench -- [${PARTS.join("|")}]… [--rounds N] [--chain STEPS] [--fan STEPS] [--in-flight N]
                 [--graph STEPS] [--runs N] [--samples N] [--resume STEPS,…] [--profile DIR] [--smoke]`;

/** @throws InvalidInputError for an unknown flag, part or number */
export function parseOptions(argv: readonly string[]): BenchOptions {
  const { values, positionals } = parsed(argv);
  const chosen = [...positionals, ...(values.only ?? [])];
  const sizes = { ...(values.smoke ? SMOKE : DEFAULTS), ...values };
  return {
    rounds: count("rounds", sizes.rounds),
    chain: count("chain", sizes.chain),
    fan: count("fan", sizes.fan),
    inFlight: count("in-flight", sizes["in-flight"]),
    graph: count("graph", sizes.graph),
    runs: count("runs", sizes.runs),
    samples: count("samples", sizes.samples),
    resume: sizes.resume.split(",").map((steps) => count("resume", steps)),
    only: chosen.length === 0 ? USUAL_PARTS : chosen.map(part),
    profile: values.profile,
    smoke: values.smoke ?? false,
  };
}

function parsed(argv: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        rounds: text,
        chain: text,
        fan: text,
        "in-flight": text,
        graph: text,
        runs: text,
        samples: text,
        resume: text,
        profile: text,
        only: { type: "string", multiple: true },
        smoke: { type: "boolean" },
      },
    });
  } catch (cause) {
    throw new InvalidInputError("E_USAGE", (cause as Error).message, { remedy: USAGE, cause });
  }
}

function count(name: string, value: string): number {
  const number = Number(value);
  if (Number.isInteger(number) && number >= 1) return number;
  throw new InvalidInputError("E_USAGE", `--${name} must be a whole number from 1, but is "${value}"`, {
    remedy: USAGE,
  });
}

function part(name: string): Part {
  const found = PARTS.find((known) => known === name);
  if (found !== undefined) return found;
  throw new InvalidInputError("E_USAGE", `there is no part "${name}"`, { remedy: USAGE });
}
