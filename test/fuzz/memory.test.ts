import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { KIB, MIB } from "../../src/base/units.ts";
import { NET_HEAD_BYTES_MAX } from "../../src/ports/network.ts";
import { WIRE_CODECS } from "./codecs.ts";
import { GREEDY } from "./greedy.ts";

// What Node and the program themselves take is about 20 MiB.
const BASE_MIB = 20;
/** Four times the largest message. Without a look at its shape first it took two hundred times its length. */
const MESSAGE_MIB = (4 * NET_HEAD_BYTES_MAX) / MIB;
/** A map has up to 2^19 items; it is decoded once its owner's signature was checked, one at a time. */
const MAP_MIB = 128;
// What just passes for its number of items is as bad as it gets: sizes go down to there.
const SIZES = [NET_HEAD_BYTES_MAX, MIB, 512 * KIB, 256 * KIB, 64 * KIB];

async function decodeAll(kind: string, isMap: boolean): Promise<unknown> {
  const names = WIRE_CODECS.map((codec) => codec.name).filter((name) => (name === "placement map") === isMap);
  const worker = new Worker(new URL("./greedy-worker.ts", import.meta.url), {
    workerData: { kind, names, sizes: SIZES },
    resourceLimits: {
      maxOldGenerationSizeMb: BASE_MIB + (isMap ? MAP_MIB : MESSAGE_MIB),
      maxYoungGenerationSizeMb: 8,
    },
  });
  const refused = await new Promise<unknown>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  expect(refused).toBe(SIZES.length * names.length);
  return refused;
}

test.each(Object.keys(GREEDY))(
  "%s: no message takes more memory than four times the largest one",
  async (kind) => {
    await decodeAll(kind, false);
    await decodeAll(kind, true);
  },
);
