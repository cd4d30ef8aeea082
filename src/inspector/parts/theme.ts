/** Light or dark: as the system says, or as the reader chose. */
import { effect, signal } from "@preact/signals";
import { LOOKS, type Look } from "../model/step-look.ts";

export type Theme = "system" | "light" | "dark";
const KEY = "datahammer.theme";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];

export const theme = signal<Theme>(stored());
/** Grows by one when colours have changed: what is drawn on a canvas reads them again. */
export const colorsVersion = signal(0);

function stored(): Theme {
  const value = localStorage.getItem(KEY);
  return THEMES.find((known) => known === value) ?? "system";
}

export function startTheme(): void {
  effect(() => {
    const chosen = theme.value;
    document.documentElement.dataset.theme = chosen;
    if (chosen === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, chosen);
    colorsVersion.value = colorsVersion.peek() + 1;
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colorsVersion.value += 1;
  });
}

export interface Colors {
  readonly looks: Readonly<Record<Look, string>>;
  /** The field behind a step of each look. */
  readonly fields: Readonly<Record<Look, string>>;
  readonly ink: string;
  readonly soft: string;
  readonly faint: string;
  readonly line: string;
  readonly surface: string;
  readonly ground: string;
  readonly accent: string;
}

let known: { version: number; colors: Colors } | undefined;

/** The design's colours as a canvas can use them. */
export function canvasColors(): Colors {
  const version = colorsVersion.value;
  if (known?.version === version) return known.colors;
  const probe = document.createElement("span");
  document.body.append(probe);
  const read = (name: string): string => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const byLook = (suffix: string): Record<Look, string> =>
    Object.fromEntries(LOOKS.map((look) => [look, read(`look-${look}${suffix}`)])) as Record<Look, string>;
  const colors: Colors = {
    looks: byLook(""),
    fields: byLook("-field"),
    ink: read("ink"),
    soft: read("ink-soft"),
    faint: read("ink-faint"),
    line: read("line-strong"),
    surface: read("surface"),
    ground: read("ground"),
    accent: read("accent"),
  };
  probe.remove();
  known = { version, colors };
  return colors;
}

export const calmMotion = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;
