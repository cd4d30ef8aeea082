/**
 * A JSON value to look into: opened where it is small, in parts where it is long, never all at once.
 *
 * References to large values are fetched when the reader asks for them.
 */
import { useState } from "preact/hooks";
import { ask, pathOf } from "../model/api-client.ts";
import { bytes, plural } from "../model/format.ts";

/** Entries of a list or object that are shown before the reader asks for more. */
const PAGE = 100;
const LONG_TEXT = 400;
/** A value is open at first while it has no more entries than this. */
const OPEN_ENTRIES = 12;

interface Reference {
  name: string;
  bytes: number;
}

export function JsonView({ value, name, depth = 0 }: { value: unknown; name?: string; depth?: number }) {
  const reference = referenceOf(value);
  if (reference !== undefined) return <LargeValue reference={reference} name={name} />;
  if (typeof value === "object" && value !== null) return <Tree value={value} name={name} depth={depth} />;
  return (
    <div class="json-line">
      {name !== undefined && <span class="json-name">{name}</span>}
      <Leaf value={value} />
    </div>
  );
}

function Tree({ value, name, depth }: { value: object; name: string | undefined; depth: number }) {
  const isList = Array.isArray(value);
  const entries: [string, unknown][] = Object.entries(value);
  const [open, setOpen] = useState(depth < 2 && entries.length <= OPEN_ENTRIES);
  const [shown, setShown] = useState(PAGE);
  if (entries.length === 0) {
    return (
      <div class="json-line">
        {name !== undefined && <span class="json-name">{name}</span>}
        <span class="soft">{isList ? "empty list" : "empty"}</span>
      </div>
    );
  }
  return (
    <div class="json-tree">
      <button
        type="button"
        class="json-toggle"
        aria-expanded={open}
        aria-label={`${name ?? "value"}, ${isList ? plural(entries.length, "item") : plural(entries.length, "field")}`}
        onClick={() => setOpen(!open)}
      >
        <span class="json-arrow" aria-hidden="true" />
        {name !== undefined && <span class="json-name">{name}</span>}
        <span class="soft">{sizeText(entries, { isList, open, named: name !== undefined })}</span>
      </button>
      {open && (
        <div class="json-inner">
          {entries.slice(0, shown).map(([key, inner]) => (
            <JsonView key={key} name={key} value={inner} depth={depth + 1} />
          ))}
          {entries.length > shown && (
            <button type="button" class="link" onClick={() => setShown(shown + PAGE * 5)}>
              {plural(entries.length - shown, "more entry", "more entries")}
            </button>
          )}
        </div>
      )}
    </div>
  );
}

function sizeText(
  entries: [string, unknown][],
  { isList, open, named }: { isList: boolean; open: boolean; named: boolean },
): string {
  if (isList) return plural(entries.length, "item");
  if (!open) return brief(entries);
  return named ? "" : plural(entries.length, "field");
}

function brief(entries: [string, unknown][]): string {
  const names = entries.slice(0, 4).map(([key]) => key);
  return `{ ${names.join(", ")}${entries.length > names.length ? ", …" : ""} }`;
}

function Leaf({ value }: { value: unknown }) {
  const [whole, setWhole] = useState(false);
  if (typeof value !== "string")
    return <span class={`json-${value === null ? "null" : typeof value}`}>{String(value)}</span>;
  const long = value.length > LONG_TEXT && !whole;
  return (
    <span class="json-string">
      {long ? value.slice(0, LONG_TEXT) : value}
      {long && (
        <button type="button" class="link" onClick={() => setWhole(true)}>
          … {plural(value.length - LONG_TEXT, "more character")}
        </button>
      )}
    </span>
  );
}

function LargeValue({ reference, name }: { reference: Reference; name: string | undefined }) {
  const [value, setValue] = useState<{ is: unknown } | undefined>(undefined);
  const [problem, setProblem] = useState<string | undefined>(undefined);
  if (value !== undefined) return <JsonView value={value.is} {...(name === undefined ? {} : { name })} />;
  const [run = "", artifact = ""] = reference.name.split("/");
  const load = async (): Promise<void> => {
    try {
      setValue({ is: await ask(`${pathOf("runs", run, "artifacts", artifact)}?as=value`) });
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <div class="json-line">
      {name !== undefined && <span class="json-name">{name}</span>}
      <button type="button" class="link" onClick={() => void load()}>
        load {bytes(reference.bytes)}
      </button>
      {problem !== undefined && <span class="bad-text">{problem}</span>}
    </div>
  );
}

function referenceOf(value: unknown): Reference | undefined {
  if (typeof value !== "object" || value === null || !("$artifact" in value)) return undefined;
  const { $artifact } = value as { $artifact: unknown };
  if (typeof $artifact !== "object" || $artifact === null || !("holds" in $artifact)) return undefined;
  return $artifact as unknown as Reference;
}
