/**
 * Showing a run's progress on stderr: redrawn in place on a terminal, a line per change elsewhere.
 *
 * On a terminal it owns the end of stderr until it is closed; notices are printed above it.
 */
import { createLogUpdate } from "log-update";
import pc from "picocolors";
import type { Clock } from "../../bus/bus.ts";
import type { WatchEvent } from "../../client/swarm.ts";
import type { RunFold } from "../../fold/run-fold.ts";
import type { TransitionRecord } from "../../fold/transition-record.ts";
import { answerCommand, waitText, waitViewOf } from "../../fold/wait-view.ts";
import { formatDuration } from "../../trace/duration.ts";
import { paintOutcome } from "../../trace/palette.ts";
import { oneLine } from "../../trace/text-width.ts";
import { itemsText } from "../../trace/view.ts";
import { stepLabel } from "../../workflow/derived-step.ts";
import type { Output } from "../output.ts";
import { type Shell, usesColor } from "../shell.ts";
import { renderProgress } from "./render.ts";
import { RunProgress } from "./run-progress.ts";

export interface ProgressView {
  note(event: WatchEvent): void;
  /** Leaves the last picture standing. */
  close(): void;
}

const FRAME_MS = 80;
/** Lines are no animation: at most this many changes of steps are told one by one. */
const PLAIN_STEP_LIMIT = 200;
/** Waits of a run that are told with their command. */
const HINTS = 20;
/** The items of a fan-out are told one by one up to this many. */
const ITEMS_TOLD = 20;

/** The view that fits where stderr goes. */
export function showProgress(shell: Shell, output: Output): ProgressView {
  const animated = shell.stderr.isTTY && shell.env.TERM !== "dumb" && !shell.env.CI;
  return animated ? new LiveView(shell, output) : new PlainView(output);
}

/** Redraws the tree a dozen times a second while something happens. */
class LiveView implements ProgressView {
  readonly #shell: Shell;
  readonly #progress = new RunProgress();
  readonly #draw: ReturnType<typeof createLogUpdate>;
  readonly #undivert: () => void;
  readonly #clock: Clock;
  #frame = 0;
  #timer: unknown;

  constructor(shell: Shell, output: Output) {
    this.#shell = shell;
    this.#clock = shell.clock;
    this.#draw = createLogUpdate(streamOf(shell), { showCursor: false });
    this.#undivert = output.divert((line) => {
      this.#draw.clear();
      shell.stderr.write(`${line}\n`);
      this.#render();
    });
    this.#tick();
  }

  note(event: WatchEvent): void {
    this.#progress.note(event);
  }

  close(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#render();
    this.#draw.done();
    this.#undivert();
  }

  #tick(): void {
    this.#frame += 1;
    this.#render();
    this.#timer = this.#clock.setTimeout(() => this.#tick(), FRAME_MS);
  }

  #render(): void {
    const { stderr } = this.#shell;
    const lines = renderProgress(this.#progress, {
      width: stderr.columns - 1,
      // One line for the cursor, so that the terminal never scrolls while it is redrawn.
      height: Math.max(3, stderr.rows - 2),
      now: this.#clock.now(),
      colors: pc.createColors(usesColor(this.#shell, stderr)),
      frame: this.#frame,
    });
    if (lines.length > 0) this.#draw(lines.join("\n"));
  }
}

/** log-update wants a stream, of which it uses these. */
function streamOf(shell: Shell): NodeJS.WritableStream {
  const { stderr } = shell;
  return {
    write: (text: string) => {
      stderr.write(text);
      return true;
    },
    get columns() {
      return stderr.columns;
    },
    get rows() {
      return stderr.rows;
    },
    isTTY: true,
  } as unknown as NodeJS.WritableStream;
}

/** One line for each change that a reader of a log wants to see. */
class PlainView implements ProgressView {
  readonly #output: Output;
  #told = 0;
  readonly #toldWaits = new Set<string>();

  constructor(output: Output) {
    this.#output = output;
  }

  note({ transitions, fold }: WatchEvent): void {
    for (const transition of transitions) {
      if (transition.kind === "run") this.#tellRun(transition, fold);
      else if (this.#isTold(transition, fold)) this.#tellStep(transition, fold.startedAt ?? transition.ts);
    }
    if (fold.status === "waiting") this.#tellWaits(fold);
  }

  /** Of a large fan-out only failures are told one by one, and how far it is, ten times. */
  #isTold({ actor, to }: TransitionRecord, fold: RunFold): boolean {
    const at = actor.indexOf("~");
    if (at < 0 || to === "failed") return true;
    const step = actor.slice(0, at);
    const progress = fold.fanOutOf(step);
    if (progress === undefined || progress.items <= ITEMS_TOLD) return true;
    const settled = progress.done + progress.failed;
    if (to === "done" && settled < progress.items && settled % Math.ceil(progress.items / 10) === 0)
      this.#output.notice(`          ${step}  ${this.#output.noticeColors.dim(itemsText(progress))}`);
    return false;
  }

  /** Each wait once, with the command that answers it. */
  #tellWaits(fold: RunFold): void {
    for (const [step, { n }] of fold.waits) {
      if (this.#toldWaits.size >= HINTS || this.#toldWaits.has(`${step}#${n}`)) continue;
      this.#toldWaits.add(`${step}#${n}`);
      const wait = waitViewOf(fold, step);
      if (wait)
        this.#output.notice(`waits for ${waitText(step, wait)}: ${answerCommand(fold.run, step, wait)}`);
      if (this.#toldWaits.size === HINTS)
        this.#output.notice(`for what else it waits, see datahammer show ${fold.run}`);
    }
  }

  #tellRun(transition: TransitionRecord, fold: RunFold): void {
    const { noticeColors: colors } = this.#output;
    const { total, done, failed } = fold.counts;
    const of =
      total === 0 ? "" : ` (${done} of ${total} steps done${failed > 0 ? `, ${failed} failed` : ""})`;
    const why = transition.to === "paused" ? colors.dim(`  ${oneLine(transition.cause)}`) : "";
    this.#output.notice(`run ${paintOutcome(transition.to, transition.to, colors)}${of}${why}`);
  }

  #tellStep(transition: TransitionRecord, startedAt: number): void {
    const { actor, from, to, event, agent, attempt, cause, ts } = transition;
    const worthALine =
      to === "done" || to === "failed" || to === "running" || (from === "running" && to === "ready");
    if (!worthALine) return;
    this.#told += 1;
    if (this.#told > PLAIN_STEP_LIMIT) {
      // Thousands of lines help nobody; what failed is always told.
      if (this.#told === PLAIN_STEP_LIMIT + 1)
        this.#output.notice("… more steps follow; only failures are told from here on");
      if (to !== "failed") return;
    }
    const { noticeColors: colors } = this.#output;
    const at = colors.dim(`+${formatDuration(ts - startedAt)}`.padStart(8));
    const word = event === "skip" ? "skipped" : to === "ready" ? "again" : to;
    const who = agent === null ? "" : colors.dim(`  ${agent}`);
    const tried = attempt > 1 ? `, attempt ${attempt}` : "";
    const why = to === "failed" || to === "ready" ? colors.dim(`  ${oneLine(cause)}`) : "";
    this.#output.notice(
      `${at}  ${stepLabel(actor)}  ${paintOutcome(word, word, colors)}${tried}${who}${why}`,
    );
  }

  close(): void {
    // Every line stands already.
  }
}
