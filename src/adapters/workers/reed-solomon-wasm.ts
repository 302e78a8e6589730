import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** The compiled Reed-Solomon module, for `createWasmCodec`: 118 kB out of the installed package. */
export function readReedSolomonWasm(): Uint8Array {
  const require = createRequire(import.meta.url);
  return readFileSync(
    require.resolve("@subspace/reed-solomon-erasure.wasm/dist/reed_solomon_erasure_bg.wasm"),
  );
}
