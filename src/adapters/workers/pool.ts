import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { assert, must } from "../../base/assert.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import {
  errorOf,
  type TaskKind,
  type WorkerReply,
  type WorkerRequest,
  type WorkerResult,
  type WorkerSetup,
  type WorkerTask,
} from "./messages.ts";
import { moduleUrl } from "./module-url.ts";
import { Packer, packTask } from "./packer.ts";

/** A second task lies ready at the worker, so that it need not wait for the main thread between two. */
const TASKS_PER_WORKER = 2;

/** More would be idle: one uplink of a branch server is behind it all. */
const THREADS_DEFAULT_MAX = 4;

export function defaultThreads(): number {
  return Math.min(availableParallelism(), THREADS_DEFAULT_MAX);
}

/** Tasks of one lane wait for each other; the lanes take turns. */
const LANE_OF = {
  ingest: "ingest",
  prepare: "write",
  seal: "write",
  rebuild: "read",
  roots: "read",
  open: "read",
} as const satisfies Record<TaskKind, string>;
const LANES = ["ingest", "write", "read"] as const;

interface Call {
  readonly task: WorkerTask;
  readonly resolve: (result: WorkerResult) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly calls: Map<number, Call>;
}

/**
 * A few worker threads and three waiting lines that take turns, so that a snapshot's thousands of files do not
 * keep a restore waiting. What a worker has been given is bounded; a call beyond that waits in its line and is
 * copied only when its turn comes, so a line costs no memory but its callers' own.
 *
 * A worker that dies fails the calls it had with `WORKER_LOST`, and is replaced when the next call needs it: a
 * worker that cannot even start thus fails one call after the other instead of being started for ever.
 */
export class WorkerPool {
  readonly #setup: WorkerSetup;
  readonly #threadsMax: number;
  readonly #threads = new Set<Thread>();
  readonly #lines = new Map<string, Call[]>(LANES.map((lane) => [lane, []]));
  #turn = 0;
  #nextId = 0;
  #closed: Promise<void> | undefined;

  constructor(setup: WorkerSetup, threads: number) {
    assert(Number.isInteger(threads) && threads >= 1, "there is at least one worker thread");
    this.#setup = setup;
    this.#threadsMax = threads;
  }

  /** Threads that are running now; none is started before there is work. */
  get threads(): number {
    return this.#threads.size;
  }

  run(task: WorkerTask): Promise<WorkerResult> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) {
        reject(new Fault({ code: "INTERRUPTED" }));
        return;
      }
      this.#line(LANE_OF[task.kind]).push({ task, resolve, reject });
      this.#dispatch();
    });
  }

  /** Ends the threads where they are: they write nothing. Calls that wait or run fail with `INTERRUPTED`. */
  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end(): Promise<void> {
    const threads = [...this.#threads];
    this.#threads.clear();
    const waiting = [...this.#lines.values()].flatMap((line) => line.splice(0));
    const running = threads.flatMap((thread) => [...thread.calls.values()]);
    for (const call of [...running, ...waiting]) call.reject(new Fault({ code: "INTERRUPTED" }));
    await Promise.all(threads.map((thread) => thread.worker.terminate()));
  }

  #dispatch(): void {
    while (this.#isCallWaiting()) {
      const thread = this.#freeThread();
      if (thread === undefined) return;
      this.#send(thread, must(this.#nextCall(), "waiting call"));
    }
  }

  /** An idle thread, or a new one, or one that has nothing lying ready; `undefined` when all have enough. */
  #freeThread(): Thread | undefined {
    const [least] = [...this.#threads].sort((a, b) => a.calls.size - b.calls.size);
    if (least === undefined || (least.calls.size > 0 && this.#threads.size < this.#threadsMax)) {
      return this.#startThread();
    }
    return least.calls.size < TASKS_PER_WORKER ? least : undefined;
  }

  #send(thread: Thread, call: Call): void {
    const id = this.#nextId++;
    const packer = new Packer();
    try {
      const request: WorkerRequest = { id, task: packTask(call.task, packer), buffers: packer.transfer };
      thread.worker.postMessage(request, packer.transfer);
    } catch (error) {
      call.reject(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    thread.calls.set(id, call);
  }

  #startThread(): Thread {
    const worker = new Worker(moduleUrl("./worker"), {
      workerData: this.#setup,
      name: "cairn-compute",
      // Their JavaScript heaps are small; a large young generation would only let garbage lie for longer.
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    const thread: Thread = { worker, calls: new Map() };
    this.#threads.add(thread);
    worker.on("message", (reply: WorkerReply) => this.#receive(thread, reply));
    worker.on("messageerror", (error) => this.#lose(thread, messageOf(error)));
    worker.on("error", (error) => this.#lose(thread, messageOf(error)));
    worker.on("exit", (code) => this.#lose(thread, `exit code ${code}`));
    return thread;
  }

  #receive(thread: Thread, reply: WorkerReply): void {
    const call = thread.calls.get(reply.id);
    if (call === undefined) return;
    thread.calls.delete(reply.id);
    if ("result" in reply) call.resolve(reply.result);
    else call.reject(errorOf(reply.failure));
    this.#dispatch();
  }

  #lose(thread: Thread, reason: string): void {
    if (!this.#threads.delete(thread)) return;
    for (const call of thread.calls.values()) call.reject(new Fault({ code: "WORKER_LOST", reason }));
    thread.calls.clear();
    void thread.worker.terminate();
    this.#dispatch();
  }

  #isCallWaiting(): boolean {
    return [...this.#lines.values()].some((line) => line.length > 0);
  }

  #line(lane: string): Call[] {
    return must(this.#lines.get(lane), "waiting line");
  }

  #nextCall(): Call | undefined {
    for (let i = 0; i < LANES.length; i++) {
      const lane = must(LANES[(this.#turn + i) % LANES.length], "lane");
      const call = this.#line(lane).shift();
      if (call === undefined) continue;
      this.#turn = (this.#turn + i + 1) % LANES.length;
      return call;
    }
    return undefined;
  }
}
