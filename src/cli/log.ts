/** The process's log: JSON lines on stderr, or lines for people where people read them. */
import { type Logger, pino } from "pino";
import type { Output } from "./output.ts";
import type { LogLevel } from "./settings.ts";
import type { Shell } from "./shell.ts";
import { wallTime, type ZoneOffset } from "./wall-clock.ts";

const LEVEL_NAMES: Readonly<Record<number, string>> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};
const WARN = 40;
const ERROR = 50;

/** A logger whose lines go where the output's notices go, so that they never tear a live view. */
export function makeLog(shell: Shell, output: Output, level: LogLevel): Logger {
  const forPeople = shell.stderr.isTTY && !output.json;
  const write = (text: string): void => {
    const line = text.trimEnd();
    output.notice(forPeople ? humanLine(line, output, shell.zoneOffsetMs) : line);
  };
  return pino({ level, base: null }, { write });
}

/** `12:30:05 warn  message  key=value` */
function humanLine(json: string, output: Output, zoneOffsetMs: ZoneOffset): string {
  const { noticeColors: colors } = output;
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(json) as Record<string, unknown>;
  } catch {
    return json;
  }
  const { level, time, msg, err, ...rest } = entry;
  const number = typeof level === "number" ? level : 30;
  const name = (LEVEL_NAMES[number] ?? String(level)).padEnd(5);
  const painted =
    number >= ERROR ? colors.red(name) : number >= WARN ? colors.yellow(name) : colors.dim(name);
  const at = typeof time === "number" ? wallTime(time, zoneOffsetMs).slice(11, 19) : "";
  const fields = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  const problem =
    typeof err === "object" && err !== null && "message" in err ? [`error=${String(err.message)}`] : [];
  return [colors.dim(at), painted, String(msg ?? ""), colors.dim([...fields, ...problem].join(" "))]
    .join(" ")
    .trimEnd();
}
