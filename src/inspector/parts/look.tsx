/** The sign of a look, with its word for who cannot see it. */
import { LOOK_SIGNS, LOOK_WORDS, type Look } from "../model/step-look.ts";

export function LookSign({ look, quiet = false }: { look: Look; quiet?: boolean }) {
  return (
    <svg
      class={`look-sign look-${look}`}
      viewBox="0 0 16 16"
      width="16"
      height="16"
      role={quiet ? "presentation" : "img"}
      aria-label={LOOK_WORDS[look]}
      aria-hidden={quiet}
    >
      <path d={LOOK_SIGNS[look]} />
    </svg>
  );
}

const STATUS_LOOK: Readonly<Record<string, Look>> = {
  planning: "ready",
  running: "running",
  paused: "waiting",
  waiting: "waiting",
  done: "done",
  failed: "failed",
  cancelled: "cancelled",
};

export const lookOfStatus = (status: string): Look => STATUS_LOOK[status] ?? "pending";

export function StatusPill({ status }: { status: string }) {
  const look = lookOfStatus(status);
  return (
    <span class={`pill look-${look}`}>
      <LookSign look={look} quiet />
      {status}
    </span>
  );
}

/** Shares of a whole, each in its colour. */
export function Shares({
  parts,
  total,
  label,
}: {
  parts: readonly { look: Look; amount: number }[];
  total: number;
  label: string;
}) {
  return (
    <span class="shares" role="img" aria-label={label}>
      {parts.map(({ look, amount }) =>
        amount > 0 ? (
          <i key={look} class={`look-${look}`} style={{ flexGrow: amount / Math.max(1, total) }} />
        ) : null,
      )}
    </span>
  );
}
