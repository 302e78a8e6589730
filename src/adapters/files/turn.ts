/**
 * Synchronous file calls are several times cheaper than asynchronous ones, but a long row of them would keep
 * the thread from its sockets and timers: a promise that is already resolved does not let them in. So the row
 * asks here between calls, and after `SLICE_MS` of work the event loop has a full turn.
 *
 * 5 ms: far below what a ping or a heartbeat notices, and long enough that the turns cost nothing measurable.
 */
const SLICE_MS = 5;

let sliceBeganMs = performance.now();
let pause: Promise<void> | undefined;

/** Something to wait for when the slice is used up, for all who ask until the event loop has had its turn. */
export function turnIfDue(): Promise<void> | undefined {
  if (pause === undefined && performance.now() - sliceBeganMs > SLICE_MS) {
    pause = new Promise((resolve) => {
      setImmediate(() => {
        pause = undefined;
        sliceBeganMs = performance.now();
        resolve();
      });
    });
  }
  return pause;
}
