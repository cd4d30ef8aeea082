/** Large payloads in a NATS object store: one bucket per swarm, names `<run>/<unique>`, digests checked. */
import { jetstream } from "@nats-io/jetstream";
import { type ObjectStore, Objm } from "@nats-io/obj";
import { NotFoundError } from "../../workflow/errors.ts";
import type { ArtifactRef, ArtifactStore } from "../bus.ts";
import { noSwarm } from "./failure.ts";
import type { NatsLink } from "./link.ts";
import { nanos, type StorageOptions } from "./streams.ts";

/** By daemons only. */
export async function provisionArtifacts(link: NatsLink, options: StorageOptions): Promise<void> {
  await new Objm(jetstream(link.nc)).create(link.subjects.artifactBucket, {
    storage: options.storage ?? "file",
    replicas: options.replicas ?? 1,
    ...(options.artifactMaxAgeMs ? { ttl: nanos(options.artifactMaxAgeMs) } : {}),
  });
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

  purge(run: string): Promise<number> {
    return this.#link.guard(`Removing the artifacts of run ${run}`, async () => {
      const store = await this.#bucket();
      const names = (await store.list()).map(({ name }) => name).filter((name) => name.startsWith(`${run}/`));
      for (const name of names) await store.delete(name);
      return names.length;
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
