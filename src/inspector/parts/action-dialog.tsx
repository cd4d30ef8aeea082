/** Asks before anything is done to a run, says what it will do, and tells what came of it. */
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { asApiError } from "../model/run-store.ts";
import { announce } from "./announcer.tsx";

export interface Question {
  title: string;
  text: string;
  /** Of the button that does it. */
  verb: string;
  danger?: boolean;
  /** A value that goes with it, as JSON or text; undefined: none. */
  value?: { label: string; initial: string };
  /** @returns what came of it, in words */
  act: (value: unknown) => Promise<string>;
}

const question = signal<Question | undefined>(undefined);

export function askFirst(asked: Question): void {
  question.value = asked;
}

export function ActionDialog() {
  const asked = question.value;
  const dialog = useRef<HTMLDialogElement>(null);
  const closedHere = useRef(false);
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | undefined>(undefined);
  useEffect(() => {
    if (asked === undefined) {
      closedHere.current = dialog.current?.open === true;
      return dialog.current?.close();
    }
    setText(asked.value?.initial ?? "");
    setProblem(undefined);
    setBusy(false);
    if (dialog.current?.open === false) dialog.current.showModal();
  }, [asked]);
  const done = (): void => {
    question.value = undefined;
  };
  // The event comes later than the closing: by then the next question may have been asked. Only a closing by the
  // reader's Escape is news.
  const onClose = (): void => {
    if (closedHere.current) closedHere.current = false;
    else done();
  };
  const act = async (): Promise<void> => {
    if (asked === undefined) return;
    setBusy(true);
    try {
      announce(await asked.act(asked.value === undefined ? undefined : readValue(text)));
      done();
    } catch (error) {
      const { problem: told } = asApiError(error);
      setProblem(`${told.detail}${told.remedy === undefined ? "" : ` ${told.remedy}`}`);
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="dialog-title" onClose={onClose}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          void act();
        }}
      >
        <h2 id="dialog-title">{asked?.title}</h2>
        <p>{asked?.text}</p>
        {asked?.value !== undefined && (
          <label class="field">
            {asked.value.label}
            <textarea
              rows={4}
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
              spellcheck={false}
            />
          </label>
        )}
        {problem !== undefined && (
          <p class="note bad" role="alert">
            {problem}
          </p>
        )}
        <div class="dialog-actions">
          <button type="button" class="button" onClick={done}>
            Leave it
          </button>
          <button type="submit" class={`button strong${asked?.danger ? " danger" : ""}`} disabled={busy}>
            {asked?.verb ?? "Do it"}
          </button>
        </div>
      </form>
    </dialog>
  );
}

/** JSON where it is some, else the text as it stands. */
function readValue(text: string): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
