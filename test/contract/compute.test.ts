import { createInlineCompute } from "../../sim/inline-compute.ts";
import { createFileOpener } from "../../src/adapters/files/opener.ts";
import { createWorkerCompute, readReedSolomonWasm } from "../../src/adapters/workers/index.ts";
import { createWasmCodec } from "../../src/erasure/index.ts";
import { computeContract } from "./compute.ts";

computeContract("two worker threads", () => createWorkerCompute({ threads: 2 }));
computeContract("one worker thread", () => createWorkerCompute({ threads: 1 }));
computeContract("inline", () =>
  createInlineCompute(createFileOpener(), createWasmCodec(readReedSolomonWasm())),
);
