import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { must } from "../../base/assert.ts";
import {
  ingestFiles,
  openFrames,
  prepareChunks,
  rebuildShards,
  sealAndEncode,
  shardRoots,
} from "../../compute/index.ts";
import { createWasmCodec, type ErasureCodec } from "../../erasure/index.ts";
import type { FileOpener } from "../../ports/file-tree.ts";
import { GarbageCollection, WORKER_COLLECTS_BYTES } from "./collect-garbage.ts";
import {
  failureOf,
  type WorkerReply,
  type WorkerRequest,
  type WorkerResult,
  type WorkerSetup,
  type WorkerTask,
} from "./messages.ts";
import { Packer, packResult } from "./packer.ts";
import { readReedSolomonWasm } from "./reed-solomon-wasm.ts";

// The inside of a worker thread: one request after the other, one reply for each.

const setup: WorkerSetup = workerData;
const port: MessagePort = must(parentPort, "port to the main thread");

const garbage = new GarbageCollection(WORKER_COLLECTS_BYTES);

let codec: ErasureCodec | undefined;
let opener: Promise<FileOpener> | undefined;

port.on("message", (request: WorkerRequest) => {
  void answer(request);
});

async function answer({ id, task, buffers }: WorkerRequest): Promise<void> {
  try {
    const packer = new Packer();
    // A segment's chunks are 16 MiB that would otherwise wait for the next collection.
    const letGoOfInput = (): void => {
      for (const buffer of buffers) if (!buffer.detached) buffer.transfer(0);
    };
    const result = await run(task, letGoOfInput).finally(letGoOfInput);
    const reply: WorkerReply = { id, result: packResult(result, packer) };
    const bytes = packer.transfer.reduce((sum, buffer) => sum + buffer.byteLength, 0);
    port.postMessage(reply, packer.transfer);
    garbage.handled(bytes);
  } catch (error) {
    const reply: WorkerReply = { id, failure: failureOf(error) };
    port.postMessage(reply);
  }
}

async function run(task: WorkerTask, letGoOfInput: () => void): Promise<WorkerResult> {
  const { kind } = task;
  switch (kind) {
    case "ingest":
      return { kind, value: ingestFiles(task.jobs, task.keys, await fileOpener()) };
    case "prepare":
      return { kind, value: prepareChunks(task.chunks, task.chunkIdKey) };
    case "seal":
      return { kind, value: sealAndEncode(task.job, erasureCodec(), letGoOfInput) };
    case "rebuild":
      return { kind, value: rebuildShards(task.job, erasureCodec()) };
    case "roots":
      return { kind, value: shardRoots(task.jobs) };
    case "open":
      return { kind, value: openFrames(task.job) };
  }
}

function erasureCodec(): ErasureCodec {
  codec ??= createWasmCodec(readReedSolomonWasm());
  return codec;
}

function fileOpener(): Promise<FileOpener> {
  opener ??= loadOpener();
  return opener;
}

async function loadOpener(): Promise<FileOpener> {
  const module: { createFileOpener(): FileOpener } = await import(setup.openerModule);
  return module.createFileOpener();
}
