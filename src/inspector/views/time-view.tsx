/** Why the run took so long: the steps that made it that long, what each waited for, and what would have helped. */
import { useEffect, useState } from "preact/hooks";
import type { RunTime } from "../../http/api.ts";
import { pathOf } from "../model/api-client.ts";
import { duration, plural, stepLabel } from "../model/format.ts";
import { runAddress } from "../model/router.ts";
import type { RunStore } from "../model/run-store.ts";
import { useAnswer } from "../model/use-answer.ts";
import { Command } from "../parts/command.tsx";
import { ProblemNote } from "../parts/problem-note.tsx";

type PathStep = RunTime["steps"][number];

/** Where a step's time goes, in its order: the field of the answer, the words, the classes of its colour. */
const PARTS = [
  ["outsideMs", "for somebody outside", "look-waiting"],
  ["stoodMs", "failed, until it was opened again", "look-failed"],
  ["backOffMs", "between two attempts", "look-ready pale"],
  ["pausedMs", "while the run was paused", "look-kept"],
  ["slotMs", "for a place in parallel", "look-pending"],
  ["daemonMs", "for the daemon", "look-pending pale"],
  ["agentMs", "for an agent", "look-ready"],
  ["runMs", "running", "look-running"],
] as const;

/** On a longer path only the longest are listed at first. */
const LISTED = 20;
/** While the run goes on, and while the slider moves, the path is asked for again this often at most. */
const AGAIN_MS = 250;
const REFRESH_MS = 5_000;
/** What the schedule leaves unexplained is told from this share of the run on. */
const UNEXPLAINED_SHARE = 0.1;

export function TimeView({ store }: { store: RunStore }) {
  const cursor = store.cursor.value;
  const { status, endedAt } = store.head.value ?? {};
  const tick = useTicks(cursor === undefined && endedAt === null);
  const query = cursor === undefined ? "" : `?at=${cursor}`;
  const path = `${pathOf("runs", store.run, "why")}${query}`;
  const { answer, problem } = useAnswer<RunTime>(path, `${status} ${tick}`, AGAIN_MS);
  const [all, setAll] = useState(false);
  if (problem) return <ProblemNote error={problem} />;
  if (answer === undefined) return <p class="soft pad">Working out where the time went …</p>;
  const { steps, totalMs } = answer;
  const isOver = cursor === undefined && endedAt !== null;
  const listed = all ? steps : longest(steps);
  return (
    <div class="time-view">
      <section>
        <h2>
          {isOver ? "It took" : "It has taken"} {duration(totalMs)}
        </h2>
        {steps.length === 0 ? (
          <p class="soft">No step has begun yet.</p>
        ) : (
          <>
            <p>
              {plural(steps.length, "step", "steps, one after the other,")} made it that long. All others
              could have been slower without anybody noticing.
            </p>
            <Legend steps={steps} />
            <ol class="card time-path" aria-label="The steps that made the run as long as it was">
              {listed.map((step) => (
                <PathRow key={step.step} store={store} step={step} answer={answer} />
              ))}
            </ol>
            {listed.length < steps.length && (
              <p>
                <button type="button" class="link" onClick={() => setAll(true)}>
                  These are the {LISTED} longest: show all {steps.length}
                </button>
              </p>
            )}
            <Rest answer={answer} />
          </>
        )}
      </section>
      {steps.length > 0 && <WhatIf answer={answer} />}
      <Command words={["why", store.run]} at={cursor} />
    </div>
  );
}

function PathRow({ store, step, answer }: { store: RunStore; step: PathStep; answer: RunTime }) {
  const { totalMs } = answer;
  const startedAt = Date.parse(store.head.value?.startedAt ?? step.readyAt);
  const took = tookMs(step);
  const shareOf = (ms: number): string => `${(100 * ms) / Math.max(1, totalMs)}%`;
  const parts = PARTS.filter(([part]) => step[part] >= 1);
  const words = parts.map(([part, what]) => `${duration(step[part])} ${what}`).join(", ");
  return (
    <li>
      <a href={runAddress(store.run, "steps", step.step)}>{stepLabel(step.step)}</a>
      <span class="time-bar" role="img" aria-label={words} title={words}>
        <span
          class="time-gap"
          style={{ width: shareOf(Math.max(0, Date.parse(step.readyAt) - startedAt)) }}
        />
        {parts.map(([part, , look]) => (
          <span key={part} class={`time-part ${look}`} style={{ width: shareOf(step[part]) }} />
        ))}
      </span>
      <span class="number">{duration(took)}</span>
      <span class="number soft">{Math.round((100 * took) / Math.max(1, totalMs))} %</span>
    </li>
  );
}

function Legend({ steps }: { steps: readonly PathStep[] }) {
  return (
    <ul class="time-legend">
      {PARTS.map(([part, what, look]) => {
        const sum = steps.reduce((ms, step) => ms + step[part], 0);
        if (sum < 1) return null;
        return (
          <li key={part}>
            <span class={`time-part ${look}`} aria-hidden="true" />
            {what} <b>{duration(sum)}</b>
          </li>
        );
      })}
    </ul>
  );
}

function Rest({ answer }: { answer: RunTime }) {
  const { beforeMs, betweenMs, afterMs, totalMs, whatIf } = answer;
  const lines: string[] = [];
  if (beforeMs >= 1) lines.push(`${duration(beforeMs)} went by before the first of them could begin.`);
  if (betweenMs >= 1) lines.push(`${duration(betweenMs)} went by between them.`);
  if (afterMs >= 1) lines.push(`${duration(afterMs)} went by after the last.`);
  const unexplained = totalMs - whatIf.durationMs;
  if (unexplained >= totalMs * UNEXPLAINED_SHARE) {
    lines.push(
      `Scheduled again with the same room they take ${duration(whatIf.durationMs)}: ${duration(unexplained)} went by on the way to agents, or in the order in which they took work.`,
    );
  }
  return (
    <ul class="plain soft">
      {lines.map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  );
}

function WhatIf({ answer: { whatIf } }: { answer: RunTime }) {
  return (
    <section>
      <h3>What more room would have saved</h3>
      {whatIf.variants.length === 0 ? (
        <p>Neither more steps in parallel nor more agents would have made it shorter.</p>
      ) : (
        <ul class="plain">
          {whatIf.variants.map(({ change, savedMs, durationMs }) => (
            <li key={change}>
              <b>{duration(savedMs)}</b>{" "}
              <span class="soft">({Math.round((100 * savedMs) / whatIf.durationMs)} %)</span> with {change}:{" "}
              {duration(durationMs)} instead of {duration(whatIf.durationMs)}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

const tookMs = ({ readyAt, endedAt }: PathStep): number => Date.parse(endedAt) - Date.parse(readyAt);

/** Still in their order. */
function longest(steps: readonly PathStep[]): readonly PathStep[] {
  if (steps.length <= LISTED) return steps;
  const kept = new Set([...steps].sort((a, b) => tookMs(b) - tookMs(a)).slice(0, LISTED));
  return steps.filter((step) => kept.has(step));
}

/** Counts on while something goes on. */
function useTicks(going: boolean): number {
  const [ticks, setTicks] = useState(0);
  useEffect(() => {
    if (!going) return;
    const timer = setInterval(() => setTicks((before) => before + 1), REFRESH_MS);
    return () => clearInterval(timer);
  }, [going]);
  return ticks;
}
