import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
import type { Log } from "../base/log.ts";
import { MIB, SECOND_MS } from "../base/units.ts";
import { thoroughGarbageCollector } from "./workers/collect-garbage.ts";

/** Often enough that a second's work cannot leave much behind; one call takes some milliseconds in a busy daemon. */
const EVERY_MS = SECOND_MS;
/** Share of a processor below which the last period freed nothing to speak of. */
const BUSY_SHARE = 0.2;
/**
 * So many periods without work in a row, and the job is over. One alone is a snapshot that waits for its holders:
 * collecting there, again and again, is much of the daemon's work.
 */
const IDLE_PERIODS = 5;

/**
 * From here on the heap may grow by half between two collections and collections move together what lies scattered; below it
 * the heap may double. Collecting is much of what a holder does when shards come in, and a holder stays below this; an owner in a
 * snapshot or a restore does not, and has 15 to 25 MB less at its peak.
 */
const MUCH_MEMORY_BYTES = 256 * MIB;
const SPARING = "--heap-growing-percent=50 --memory-saver-mode";
const ORDINARY = "--heap-growing-percent=100 --no-memory-saver-mode";

/**
 * Has glibc return freed memory to the kernel while the daemon works. By itself it gives back only what lies at the end
 * of an arena, and one small buffer that lives on, a chunk in an open segment, keeps all in front of it: tens of
 * megabytes in a snapshot of small files. When the work is done, that of a start included, garbage is collected once,
 * thoroughly: V8 collects by what is allocated, and an idle daemon would sit on the last job's garbage until the next.
 * Returns how to stop; without glibc it does nothing.
 */
export function returnFreedMemory(log: Log): () => void {
  const trim = mallocTrim();
  if (trim === undefined) {
    log.debug("no-malloc-trim");
    return () => {};
  }
  const collect = thoroughGarbageCollector();
  let before = process.cpuUsage();
  let idlePeriods = 0;
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage(before);
    before = process.cpuUsage();
    const isBusy = (user + system) / 1000 >= EVERY_MS * BUSY_SHARE;
    idlePeriods = isBusy ? 0 : idlePeriods + 1;
    setFlagsFromString(process.memoryUsage.rss() > MUCH_MEMORY_BYTES ? SPARING : ORDINARY);
    if (idlePeriods === IDLE_PERIODS) collect();
    // Once more after that: buffers of what was collected are freed beside the main thread.
    if (idlePeriods <= IDLE_PERIODS + 1) trim(0);
  }, EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function mallocTrim(): ((pad: number) => number) | undefined {
  try {
    const koffi: typeof import("koffi") = createRequire(import.meta.url)("koffi");
    return koffi.load("libc.so.6").func("int malloc_trim(size_t pad)");
  } catch {
    return undefined;
  }
}
