/** Routes that tell a run's steps and what they wait for, at any moment, or before its log has been read. */
import { z } from "zod";
import type { DerivedStep } from "../workflow/derived-step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import { type GraphView, graphSchema } from "./api.ts";
import type { ApiContext } from "./api-context.ts";
import { atSchema, placeInLog } from "./place-in-log.ts";
import { graphStepView } from "./presented.ts";
import { type Route, route } from "./route.ts";
import type { RunReading } from "./run-reading.ts";

const runParams = z.object({ run: z.string() });

export function graphRoutes(context: ApiContext): Route[] {
  const { library } = context;
  return [
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/graph",
        id: "graphOfRun",
        summary: "The steps and what they wait for.",
        params: runParams,
        query: z.object({ at: atSchema }),
        response: graphSchema,
      },
      async ({ params, query }) => ({
        value: await library.useAt(params.run, await placeInLog(context, params.run, query.at), graphView),
      }),
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/outline",
        id: "outlineOfRun",
        summary:
          "The graph as soon as it is known, for a first picture: `seq` says how far the log had been read; " +
          "`graphSeq` of the transitions says whether it has changed since.",
        params: runParams,
        response: graphSchema,
        masked: true,
      },
      async ({ params }) => ({
        value: await library.useEarly(params.run, (reading) => {
          const view = graphView(reading);
          return reading.fold.secrets?.view(view) ?? view;
        }),
      }),
    ),
  ];
}

function graphView({ fold, lastSeq }: RunReading): GraphView {
  return {
    run: fold.run,
    name: fold.graph?.name ?? fold.run,
    description: fold.graph?.document.description ?? null,
    seq: lastSeq,
    maxParallel: fold.graph?.maxParallel ?? 0,
    steps: [...(fold.graph?.steps() ?? []), ...inTurn(fold.compensations)].map(graphStepView),
  };
}

/** Steps that undo others go one after the other, each for the step that it undoes. */
function inTurn(compensations: readonly DerivedStep[]): WorkflowStep[] {
  return compensations.map((step, index) => {
    const before = compensations[index - 1];
    return { ...step, dependsOn: before === undefined ? [step.origin.of] : [step.origin.of, before.id] };
  });
}
