/** A share of the simulated swarms. Catches whatever the judges can name; see `docs/simulation.md`. */
import { describe } from "vitest";
import { breaksNoRule } from "./seeds.ts";

describe("a simulated swarm", () => breaksNoRule(3));
