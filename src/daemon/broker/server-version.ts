/** Versions of nats-server: read, compared by what decides compatibility, and printed. */

export interface ServerVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** As the server says it, without a leading `v`. */
  readonly text: string;
}

const VERSION_PATTERN = /v?(\d+)\.(\d+)\.(\d+)([-.+~][0-9A-Za-z.+~-]*)?/;

/**
 * Finds a version in text such as `nats-server: v2.12.8` or `2.10.27`.
 * @returns undefined when there is none.
 */
export function parseServerVersion(text: string): ServerVersion | undefined {
  const match = VERSION_PATTERN.exec(text);
  if (!match) return undefined;
  return {
    major: Number(match[1]),
    minor: Number(match[2]),
    patch: Number(match[3]),
    text: match[0].replace(/^v/, ""),
  };
}

/** Whether `version` is at least `major.minor`. */
export function isAtLeast(version: ServerVersion, major: number, minor: number): boolean {
  return version.major > major || (version.major === major && version.minor >= minor);
}

/** Negative when `a` is older than `b`, positive when newer, 0 when they are the same release. */
export function compareVersions(a: ServerVersion, b: ServerVersion): number {
  return a.major - b.major || a.minor - b.minor || a.patch - b.patch;
}
