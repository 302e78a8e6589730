import { AssertionFailure } from "../../base/assert.ts";
import { Fault, type FaultDetail } from "../../base/fault.ts";
import type {
  IngestJob,
  IngestKeys,
  IngestResult,
  OpenJob,
  PreparedChunk,
  RebuildJob,
  RootJob,
  SealedSegment,
  SealJob,
} from "../../ports/compute.ts";

/** What a worker is told when it starts. */
export interface WorkerSetup {
  /** URL of a module that exports `createFileOpener(): FileOpener`. */
  readonly openerModule: string;
}

/** One call of the port, as it crosses to a worker. */
export type WorkerTask =
  | { readonly kind: "ingest"; readonly jobs: readonly IngestJob[]; readonly keys: IngestKeys }
  | { readonly kind: "prepare"; readonly chunks: readonly Uint8Array[]; readonly chunkIdKey: Uint8Array }
  | { readonly kind: "seal"; readonly job: SealJob }
  | { readonly kind: "rebuild"; readonly job: RebuildJob }
  | { readonly kind: "roots"; readonly jobs: readonly RootJob[] }
  | { readonly kind: "open"; readonly job: OpenJob };

/** What each kind of task answers. */
export type WorkerResult =
  | { readonly kind: "ingest"; readonly value: IngestResult[] }
  | { readonly kind: "prepare"; readonly value: PreparedChunk[] }
  | { readonly kind: "seal"; readonly value: SealedSegment }
  | { readonly kind: "rebuild"; readonly value: Uint8Array[] }
  | { readonly kind: "roots"; readonly value: Uint8Array[] }
  | { readonly kind: "open"; readonly value: Uint8Array[] };

export type TaskKind = WorkerTask["kind"];
export type TaskOf<Kind extends TaskKind> = Extract<WorkerTask, { kind: Kind }>;
export type ResultOf<Kind extends TaskKind> = Extract<WorkerResult, { kind: Kind }>;

export function isResultOf<Kind extends TaskKind>(
  kind: Kind,
  result: WorkerResult,
): result is ResultOf<Kind> {
  return result.kind === kind;
}

export interface WorkerRequest {
  readonly id: number;
  readonly task: WorkerTask;
  /** The memory behind the task's bytes: the worker's alone, and no part of any result. */
  readonly buffers: readonly ArrayBuffer[];
}

export type WorkerReply =
  | { readonly id: number; readonly result: WorkerResult }
  | { readonly id: number; readonly failure: WorkerFailure };

/** An error without its class, which structured cloning would lose. */
export type WorkerFailure =
  | { readonly kind: "fault"; readonly detail: FaultDetail }
  | { readonly kind: "assertion"; readonly message: string; readonly stack: string | undefined }
  | { readonly kind: "other"; readonly message: string; readonly stack: string | undefined };

export function failureOf(error: unknown): WorkerFailure {
  if (error instanceof Fault) return { kind: "fault", detail: error.detail };
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error ? error.stack : undefined;
  return { kind: error instanceof AssertionFailure ? "assertion" : "other", message, stack };
}

/** The error as the caller would have had it without a thread in between; stacks are the worker's. */
export function errorOf(failure: WorkerFailure): Error {
  if (failure.kind === "fault") return new Fault(failure.detail);
  const error =
    failure.kind === "assertion" ? new AssertionFailure(failure.message) : new Error(failure.message);
  if (failure.stack !== undefined) error.stack = failure.stack;
  return error;
}
