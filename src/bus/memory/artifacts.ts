/** Large payloads of the memory bus, copied in and out as over a wire. */
import { NotFoundError } from "../../workflow/errors.ts";
import { type ArtifactRef, type ArtifactStore, runOfArtifact } from "../bus.ts";
import type { MemoryConnection } from "./connection.ts";

export class MemoryArtifacts implements ArtifactStore {
  readonly #connection: MemoryConnection;

  readonly claimCheckBytes: number | undefined;

  constructor(connection: MemoryConnection, claimCheckBytes: number | undefined) {
    this.#connection = connection;
    this.claimCheckBytes = claimCheckBytes;
  }

  async put(run: string, bytes: Uint8Array): Promise<ArtifactRef> {
    const { store } = this.#connection.open();
    store.subjects.recordsOf(run);
    const name = `${run}/${++store.nextName}`;
    store.artifacts.set(name, bytes.slice());
    return { $artifact: { name, bytes: bytes.length } };
  }

  async get(ref: ArtifactRef): Promise<Uint8Array> {
    const { store } = this.#connection.open();
    const bytes = store.artifacts.get(ref.$artifact.name);
    if (bytes !== undefined) return bytes.slice();
    throw new NotFoundError("E_ARTIFACT_GONE", `Artifact ${ref.$artifact.name} does not exist`, {
      remedy: "It was removed with its run. Run the work again to produce it anew.",
      data: { name: ref.$artifact.name },
    });
  }

  async list(): Promise<ReadonlyMap<string, readonly ArtifactRef[]>> {
    const found = new Map<string, ArtifactRef[]>();
    for (const [name, bytes] of this.#connection.open().store.artifacts) {
      const run = runOfArtifact(name);
      const refs = found.get(run) ?? [];
      refs.push({ $artifact: { name, bytes: bytes.length } });
      found.set(run, refs);
    }
    return found;
  }

  async remove(ref: ArtifactRef): Promise<void> {
    this.#connection.open().store.artifacts.delete(ref.$artifact.name);
  }
}
