import { parentPort, workerData } from "node:worker_threads";
import { must } from "../../src/base/assert.ts";
import { isFault } from "../../src/base/fault.ts";
import { WIRE_CODECS } from "./codecs.ts";
import { GREEDY } from "./greedy.ts";

/** Decodes one kind of greedy message with every codec, in a heap that its parent has made small. */
const { kind, names, sizes } = workerData as {
  kind: string;
  names: readonly string[];
  sizes: readonly number[];
};
const make = must(GREEDY[kind], "kind of message");
let refused = 0;
for (const bytes of sizes) {
  const message = make(bytes);
  for (const codec of WIRE_CODECS.filter(({ name }) => names.includes(name))) {
    try {
      codec.decode(message);
    } catch (error) {
      if (!isFault(error, "FORMAT_INVALID")) throw error;
      refused++;
    }
  }
}
parentPort?.postMessage(refused);
