import { assert, must } from "../base/assert.ts";
import { KIB, MIB } from "../base/units.ts";
import { checkEncode, copies, type ErasureCodec, planRebuild, type RebuildRequest } from "./codec.ts";

// Why the package's own wrapper is not used, and how its exports have to be called:
// - `reconstruct` takes over the array of flags; the wrapper frees it once more, and the heap is broken from
//   the second call on. So: never free the flags.
// - `reconstruct` makes data shards only and reports success with parity left as it was. So: encode after it.
// - The allocator fragments for good when buffers of many sizes come and go. So: one buffer, allocated once,
//   that every call works in, slice by slice.
// - k = 0, m = 0, more than 256 shards and empty buffers trap. So: arguments are checked before.

/** Shared by all shards of a call: memory per instance stays at this and little more, whatever is coded. */
const ARENA_BYTES = 2 * MIB;
/** Longest slice of a shard per call: at common profiles k + m of them still fit a processor's L2 cache. */
const SLICE_BYTES_MAX = 64 * KIB;

interface RawExports {
  readonly memory: WebAssembly.Memory;
  readonly malloc: (bytes: number) => number;
  readonly encode: (pointer: number, bytes: number, dataShards: number, parityShards: number) => number;
  readonly reconstruct: (
    pointer: number,
    bytes: number,
    dataShards: number,
    parityShards: number,
    flags: number,
    flagCount: number,
  ) => number;
}

/**
 * The Rust crate `reed-solomon-erasure`, compiled to WebAssembly (package `@subspace/reed-solomon-erasure.wasm`;
 * the caller reads the .wasm file). Synchronous; not to be shared between threads.
 */
export function createWasmCodec(wasmBytes: Uint8Array): ErasureCodec {
  const module = new WebAssembly.Module(new Uint8Array(wasmBytes));
  let workspace: Workspace | undefined;
  // A trap leaves an instance in a state nobody knows: the next call gets a new one.
  const withWorkspace = (work: (workspace: Workspace) => void): void => {
    const current = workspace ?? new Workspace(module);
    workspace = undefined;
    work(current);
    workspace = current;
  };
  return {
    encode: (dataShards, parityShards) => encode(withWorkspace, dataShards, parityShards),
    rebuild: (job) => rebuild(withWorkspace, job),
  };
}

type WithWorkspace = (work: (workspace: Workspace) => void) => void;

function encode(
  withWorkspace: WithWorkspace,
  data: readonly Uint8Array[],
  parityShards: number,
): Uint8Array[] {
  const shardBytes = checkEncode(data, parityShards);
  if (parityShards === 0) return [];
  if (data.length === 1) return copies(must(data[0], "data shard"), parityShards);
  const parity = Array.from({ length: parityShards }, () => new Uint8Array(shardBytes));
  withWorkspace((workspace) => {
    workspace.forEachSlice(shardBytes, data.length, parityShards, (slice) => {
      for (const [index, shard] of data.entries()) slice.load(index, shard);
      slice.encode();
      for (const [i, shard] of parity.entries()) slice.store(data.length + i, shard);
    });
  });
  return parity;
}

function rebuild(withWorkspace: WithWorkspace, job: RebuildRequest): Uint8Array[] {
  const { dataShards, parityShards, have, want } = job;
  const { shardBytes, used } = planRebuild(job);
  const kept = new Map(have.map((shard) => [shard.index, shard.bytes]));
  if (dataShards === 1) return copies(must(used[0], "shard").bytes, want.length);
  const out = want.map((index) => ({ index, bytes: copyOrEmpty(kept.get(index), shardBytes) }));
  const made = out.filter((shard) => !kept.has(shard.index));
  if (made.length === 0) return out.map((shard) => shard.bytes);
  const dataMissing = used.some((shard) => shard.index >= dataShards);
  const parityMade = made.some((shard) => shard.index >= dataShards);
  const flags = Uint8Array.from({ length: dataShards + parityShards }, (_, index) =>
    used.some((shard) => shard.index === index) ? 1 : 0,
  );
  withWorkspace((workspace) => {
    workspace.forEachSlice(shardBytes, dataShards, parityShards, (slice) => {
      for (const shard of used) slice.load(shard.index, shard.bytes);
      if (dataMissing) slice.reconstructData(flags);
      if (parityMade) slice.encode();
      for (const shard of made) slice.store(shard.index, shard.bytes);
    });
  });
  return out.map((shard) => shard.bytes);
}

function copyOrEmpty(kept: Uint8Array | undefined, shardBytes: number): Uint8Array {
  return kept === undefined ? new Uint8Array(shardBytes) : new Uint8Array(kept);
}

/** The same range of every shard, side by side in WebAssembly memory. */
interface Slice {
  load(index: number, shard: Uint8Array): void;
  store(index: number, shard: Uint8Array): void;
  encode(): void;
  reconstructData(flags: Uint8Array): void;
}

class Workspace {
  readonly #exports: RawExports;
  readonly #arena: number;

  constructor(module: WebAssembly.Module) {
    this.#exports = rawExports(new WebAssembly.Instance(module));
    this.#arena = this.#exports.malloc(ARENA_BYTES);
  }

  forEachSlice(
    shardBytes: number,
    dataShards: number,
    parityShards: number,
    visit: (slice: Slice) => void,
  ): void {
    const step = Math.min(SLICE_BYTES_MAX, Math.floor(ARENA_BYTES / (dataShards + parityShards)));
    for (let offset = 0; offset < shardBytes; offset += step) {
      visit(this.#slice(offset, Math.min(step, shardBytes - offset), dataShards, parityShards));
    }
  }

  #slice(offset: number, length: number, dataShards: number, parityShards: number): Slice {
    const raw = this.#exports;
    const pointer = this.#arena;
    const bytes = (dataShards + parityShards) * length;
    // Not kept: memory that grows detaches all earlier views.
    const view = (index: number): Uint8Array =>
      new Uint8Array(raw.memory.buffer, pointer + index * length, length);
    return {
      load: (index, shard) => view(index).set(shard.subarray(offset, offset + length)),
      store: (index, shard) => shard.set(view(index), offset),
      encode: () => checkResult(raw.encode(pointer, bytes, dataShards, parityShards)),
      reconstructData: (flags) => {
        const owned = raw.malloc(flags.length);
        new Uint8Array(raw.memory.buffer, owned, flags.length).set(flags);
        checkResult(raw.reconstruct(pointer, bytes, dataShards, parityShards, owned, flags.length));
      },
    };
  }
}

/** Codes of the Rust crate's `Error`; 0 is success. None can happen with arguments that were checked. */
function checkResult(result: number): void {
  assert(result === 0, `the Reed-Solomon module answered ${result}`);
}

function rawExports(instance: WebAssembly.Instance): RawExports {
  const { memory, encode, reconstruct, __wbindgen_malloc: malloc } = instance.exports;
  assert(memory instanceof WebAssembly.Memory, "the Reed-Solomon module exports its memory");
  const callable = (value: unknown, name: string): ((...args: readonly number[]) => number) => {
    assert(typeof value === "function", `the Reed-Solomon module exports ${name}`);
    return (...args) => Number(Reflect.apply(value, undefined, args));
  };
  return {
    memory,
    malloc: callable(malloc, "malloc"),
    encode: callable(encode, "encode"),
    reconstruct: callable(reconstruct, "reconstruct"),
  };
}
