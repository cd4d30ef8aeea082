/** Ids of runs that nobody named: readable, sortable within a name, and unlikely to meet. */

const SLUG_MAX = 24;
const SUFFIX_LETTERS = 4;
const LETTERS = "abcdefghjkmnpqrstuvwxyz23456789";

/**
 * `<name>-<MMDD>-<HHMMSS>-<four letters>`, times in UTC. Uniqueness is the log's matter: a submission that
 * meets its equal is refused and gets another id.
 * @param random a number in [0, 1)
 */
export function makeRunId(name: string, now: number, random: () => number): string {
  const [, month, day, hour, minute, second] =
    /^\d+-(\d+)-(\d+)T(\d+):(\d+):(\d+)/.exec(new Date(now).toISOString()) ?? [];
  let suffix = "";
  for (let index = 0; index < SUFFIX_LETTERS; index++)
    suffix += LETTERS[Math.floor(random() * LETTERS.length)];
  return `${slug(name)}-${month}${day}-${hour}${minute}${second}-${suffix}`;
}

/** The first words of a name or goal, as an id can hold them. */
function slug(name: string): string {
  const words = name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
  const cut = words.slice(0, SLUG_MAX + 1);
  const whole = words.length > SLUG_MAX ? cut.slice(0, Math.max(cut.lastIndexOf("-"), 8)) : cut;
  return whole.replaceAll(/^-+|-+$/g, "") || "run";
}
