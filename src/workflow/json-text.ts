/**
 * Where things are in a JSON text. `JSON.parse` is fast but keeps no positions and takes the last of two
 * equal keys in silence; this finds both, for texts that it has accepted.
 */

/** A value in the text: where it, or the key that names it, begins. */
interface JsonPlace {
  readonly offset: number;
  /** Of a map or list: its members by key or position. */
  readonly members: Map<string | number, JsonPlace> | undefined;
}

/** The places in a text, or the first key that an object has twice. */
export type JsonPlaces =
  | { repeated: undefined; offsetOf(path: readonly (string | number)[]): number }
  | { repeated: { key: string; offset: number } };

interface OpenContainer {
  readonly members: Map<string | number, JsonPlace>;
  readonly isList: boolean;
  /** The key whose value comes next, in a map. */
  key: string | undefined;
  keyOffset: number;
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]]|[^\s"{}[\]:,]+/gs;

/**
 * @param text what `JSON.parse` has accepted. Iterative, so that depth does not matter.
 */
export function findPlaces(text: string): JsonPlaces {
  const open: OpenContainer[] = [];
  let root: JsonPlace = { offset: 0, members: undefined };

  for (const match of text.matchAll(TOKEN)) {
    const [token] = match;
    const container = open.at(-1);
    if (token === "}" || token === "]") {
      open.pop();
    } else if (container && !container.isList && container.key === undefined) {
      const key: string = JSON.parse(token);
      if (container.members.has(key)) return { repeated: { key, offset: match.index } };
      container.key = key;
      container.keyOffset = match.index;
    } else {
      const opens = token === "{" || token === "[";
      const members = opens ? new Map<string | number, JsonPlace>() : undefined;
      if (!container) root = { offset: match.index, members };
      else if (container.key === undefined) {
        container.members.set(container.members.size, { offset: match.index, members });
      } else {
        container.members.set(container.key, { offset: container.keyOffset, members });
        container.key = undefined;
      }
      if (members) open.push({ members, isList: token === "[", key: undefined, keyOffset: 0 });
    }
  }
  return {
    repeated: undefined,
    /** Where the path is, or where the nearest part of it that exists is. */
    offsetOf(path) {
      let place = root;
      for (const part of path) {
        const next = place.members?.get(part);
        if (!next) break;
        place = next;
      }
      return place.offset;
    },
  };
}
