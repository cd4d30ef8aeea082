/** The story of a step in sentences, each leading to the moment of the log that says so. */
import type { Reasons } from "../../http/api.ts";
import { pathOf } from "../model/api-client.ts";
import { stepLabel } from "../model/format.ts";
import type { RunStore } from "../model/run-store.ts";
import { useAnswer } from "../model/use-answer.ts";
import { Command } from "../parts/command.tsx";

const AGAIN_MS = 180;

/** @param version changes when the step has moved */
export function StepReasons({ store, id, version }: { store: RunStore; id: string; version: string }) {
  const cursor = store.cursor.value;
  const query = cursor === undefined ? "" : `?at=${cursor}`;
  const path = `${pathOf("runs", store.run, "steps", id, "why")}${query}`;
  const { answer, problem } = useAnswer<Reasons>(path, version, AGAIN_MS);
  if (problem) return <p class="soft">{problem.message}</p>;
  return (
    <>
      <ol class="story">
        {(answer ?? []).map(({ text, seq }) => (
          <li key={`${seq} ${text}`}>
            {text}{" "}
            {seq !== null && (
              <button
                type="button"
                class="link mono"
                onClick={() => store.seek(seq)}
                title="Take the page to this moment"
              >
                #{seq}
              </button>
            )}
          </li>
        ))}
      </ol>
      <Command words={["why", store.run, stepLabel(id)]} at={cursor} />
    </>
  );
}
