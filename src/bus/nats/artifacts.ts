/** Large payloads in a NATS object store: one bucket per swarm, names `<run>/<unique>`, digests checked. */
import { jetstream } from "@nats-io/jetstream";
import { type ObjectStore, Objm } from "@nats-io/obj";
import { NotFoundError } from "../../workflow/errors.ts";
import { type ArtifactRef, type ArtifactStore, runOfArtifact } from "../bus.ts";
import { noSwarm } from "./failure.ts";
import type { NatsLink } from "./link.ts";
import { removeMessages } from "./remove.ts";
import { ensureReplicas, nanos, type StorageOptions } from "./streams.ts";

/** A name as the object store makes it a token of a subject: URL-safe base64 with its padding. */
function encoded(name: string): string {
  return Buffer.from(name).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
}

/** By daemons only. */
export async function provisionArtifacts(link: NatsLink, options: StorageOptions): Promise<void> {
  await new Objm(jetstream(link.nc)).create(link.subjects.artifactBucket, {
    storage: options.storage ?? "file",
    replicas: options.replicas ?? 1,
    ...(options.artifactMaxAgeMs ? { ttl: nanos(options.artifactMaxAgeMs) } : {}),
  });
  await ensureReplicas(link, `OBJ_${link.subjects.artifactBucket}`, options.replicas);
}

export class NatsArtifacts implements ArtifactStore {
  readonly #link: NatsLink;
  #store: Promise<ObjectStore> | undefined;

  constructor(link: NatsLink) {
    this.#link = link;
  }

  put(run: string, bytes: Uint8Array): Promise<ArtifactRef> {
    return this.#link.guard(`Storing an artifact of run ${run}`, async () => {
      this.#link.subjects.recordsOf(run);
      const name = `${run}/${globalThis.crypto.randomUUID()}`;
      const store = await this.#bucket();
      await store.putBlob({ name }, bytes);
      return { $artifact: { name, bytes: bytes.length } };
    });
  }

  get(ref: ArtifactRef): Promise<Uint8Array> {
    const { name } = ref.$artifact;
    return this.#link.guard(`Reading artifact ${name}`, async () => {
      const store = await this.#bucket();
      const bytes = await store.getBlob(name);
      if (bytes !== null) return bytes;
      throw new NotFoundError("E_ARTIFACT_GONE", `Artifact ${name} does not exist`, {
        remedy: "It was removed with its run. Run the work again to produce it anew.",
        data: { name },
      });
    });
  }

  list(): Promise<ReadonlyMap<string, readonly ArtifactRef[]>> {
    return this.#link.guard("Listing artifacts", async () => {
      const store = await this.#bucket();
      const found = new Map<string, ArtifactRef[]>();
      for (const { name, size } of await store.list()) {
        const run = runOfArtifact(name);
        const refs = found.get(run) ?? [];
        refs.push({ $artifact: { name, bytes: size } });
        found.set(run, refs);
      }
      return found;
    });
  }

  remove(ref: ArtifactRef): Promise<void> {
    const { name } = ref.$artifact;
    return this.#link.guard(`Removing artifact ${name}`, async () => {
      const store = await this.#bucket();
      await store.delete(name);
      // The bucket keeps the mark of every deleted object: thousands of purged runs would leave as many.
      const { artifactBucket } = this.#link.subjects;
      await removeMessages(this.#link, `OBJ_${artifactBucket}`, `$O.${artifactBucket}.M.${encoded(name)}`);
    });
  }

  #bucket(): Promise<ObjectStore> {
    this.#store ??= this.#openBucket();
    return this.#store;
  }

  async #openBucket(): Promise<ObjectStore> {
    try {
      return await new Objm(jetstream(this.#link.nc)).open(this.#link.subjects.artifactBucket);
    } catch (error) {
      // The daemon may come later: the next call looks again.
      this.#store = undefined;
      throw noSwarm(this.#link.subjects.swarm, "it has no artifact store", error);
    }
  }
}
