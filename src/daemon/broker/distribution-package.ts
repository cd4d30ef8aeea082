/** nats-server as Debian and its descendants package it. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { openDistribution } from "./distribution.ts";
import type { ServerSource } from "./fetch.ts";
import type { Environment } from "./locate.ts";

const PACKAGE = "nats-server";

export function distributionPackage(env: Environment): ServerSource {
  return {
    origin: "package",
    description: `the distribution's package ${PACKAGE} (unpacked, not installed)`,
    async fetch(path, scratch) {
      const distribution = await openDistribution(scratch, env);
      const unpacked = await distribution.unpack([PACKAGE]);
      await copyFile(join(unpacked, "usr", "sbin", PACKAGE), path);
    },
  };
}
