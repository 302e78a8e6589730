/**
 * One run of a costly task serves everybody who asked before it began: the essence of group commit. A run that
 * is under way cannot serve a newcomer, whose work it may have missed, so that one shares the next run.
 */
export class SharedRuns {
  readonly #task: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(task: () => Promise<void>) {
    this.#task = task;
  }

  get idle(): boolean {
    return this.#running === undefined;
  }

  /** Resolves when a run that began after this call has ended; fails as it failed. */
  run(): Promise<void> {
    if (this.#running === undefined) return this.#begin();
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    const run = this.#task().finally(() => {
      if (this.#running === run) this.#running = undefined;
    });
    this.#running = run;
    return run;
  }
}
