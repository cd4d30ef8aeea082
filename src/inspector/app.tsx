/** The page's frame: the way between views, the theme, and what stands above all of them. */
import { useEffect, useState } from "preact/hooks";
import { ask, tell, tokenWanted } from "./model/api-client.ts";
import { stepLabel } from "./model/format.ts";
import { place } from "./model/router.ts";
import { asApiError } from "./model/run-store.ts";
import { ActionDialog } from "./parts/action-dialog.tsx";
import { Announcer } from "./parts/announcer.tsx";
import { THEMES, theme } from "./parts/theme.ts";
import { AgentsView } from "./views/agents-view.tsx";
import { RunView } from "./views/run-view.tsx";
import { RunsView } from "./views/runs-view.tsx";

const THEME_WORDS = { system: "As the system", light: "Light", dark: "Dark" } as const;

export function App() {
  const title = titleOf(place.value.parts);
  useEffect(() => {
    document.title = title;
  }, [title]);
  return (
    <>
      <a class="skip" href="#main">
        To the content
      </a>
      <header class="top">
        <a class="brand" href="/runs">
          <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
            <rect width="32" height="32" rx="8" fill="currentColor" />
            <path d="M8 16h5m6 0h5M13 16l3-5 3 5-3 5z" class="brand-mark" />
          </svg>
          DataHammer
        </a>
        <nav aria-label="Main">
          <TopLink href="/runs" name="runs" label="Runs" />
          <TopLink href="/agents" name="agents" label="Agents" />
        </nav>
        <ThemeChoice />
      </header>
      {tokenWanted.value ? <TokenForm /> : <Current />}
      <ActionDialog />
      <Announcer />
    </>
  );
}

/** What tells this view from others: among tabs, in the history, to a screen reader. */
function titleOf([first = "runs", run, view, step]: readonly string[]): string {
  if (first === "agents") return "Agents · DataHammer";
  if (run === undefined) return "Runs · DataHammer";
  if (view === "steps" && step !== undefined) return `${stepLabel(step)} of ${run} · DataHammer`;
  return `${run}${view === undefined ? "" : `, ${view}`} · DataHammer`;
}

function Current() {
  const [first = "runs", second] = place.value.parts;
  if (first === "agents") return <AgentsView />;
  if (first === "runs" && second !== undefined) return <RunView key={second} run={second} />;
  return <RunsView />;
}

function TopLink({ href, name, label }: { href: string; name: string; label: string }) {
  const current = (place.value.parts[0] ?? "runs") === name;
  return (
    <a href={href} aria-current={current ? "page" : undefined}>
      {label}
    </a>
  );
}

function ThemeChoice() {
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
  return (
    <button
      type="button"
      class="tool theme"
      aria-label={`Colours: ${THEME_WORDS[theme.value]}. Change to: ${THEME_WORDS[next]}`}
      title={`Colours: ${THEME_WORDS[theme.value]}`}
      onClick={() => {
        theme.value = next;
      }}
    >
      <svg viewBox="0 0 16 16" width="15" height="15" aria-hidden="true">
        <path
          d={
            theme.value === "dark"
              ? "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z"
              : "M8 4.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7"
          }
          fill={theme.value === "light" ? "none" : "currentColor"}
          stroke="currentColor"
          stroke-width="1.4"
        />
        {theme.value === "light" && (
          <path
            d="M8 .8v1.6M8 13.6v1.6M.8 8h1.6M13.6 8h1.6M2.9 2.9L4 4M12 12l1.1 1.1M13.1 2.9L12 4M4 12l-1.1 1.1"
            stroke="currentColor"
            stroke-width="1.4"
          />
        )}
        {theme.value === "system" && <path d="M8 4.5a3.5 3.5 0 0 0 0 7z" class="half" />}
      </svg>
    </button>
  );
}

function TokenForm() {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<string | undefined>(undefined);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      await tell("POST", "/api/session", { token });
      await ask("/api/swarm");
      tokenWanted.value = false;
    } catch (error) {
      setProblem(asApiError(error).problem.detail);
    }
  };
  return (
    <main class="page narrow" id="main">
      <h1>This daemon asks for its token</h1>
      <form class="card token" onSubmit={(event) => void submit(event)}>
        <label class="field">
          Token, as given to <span class="mono">datahammer up --http-token</span>
          <input
            type="password"
            autocomplete="current-password"
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        {problem !== undefined && (
          <p class="note bad" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" class="button strong" disabled={token === ""}>
          Open
        </button>
      </form>
    </main>
  );
}
