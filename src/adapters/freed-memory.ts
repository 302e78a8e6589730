import { createRequire } from "node:module";
import type { Log } from "../base/log.ts";
import { SECOND_MS } from "../base/units.ts";
import { garbageCollector } from "./workers/collect-garbage.ts";

/** Often enough that a second's work cannot leave much behind; one call takes some milliseconds in a busy daemon. */
const EVERY_MS = SECOND_MS;
/** Share of a processor below which the last period freed nothing to speak of. */
const BUSY_SHARE = 0.2;

/**
 * Has glibc return freed memory to the kernel while the daemon works. By itself it gives back only what lies at the end
 * of an arena, and one small buffer that lives on, a chunk in an open segment, keeps all in front of it: tens of
 * megabytes in a snapshot of small files. When the work is done garbage is collected once: V8 collects by what is allocated, and an idle
 * daemon would sit on the last job's garbage until the next. Returns how to stop; without glibc it does nothing.
 */
export function returnFreedMemory(log: Log): () => void {
  const trim = mallocTrim();
  if (trim === undefined) {
    log.debug("no-malloc-trim");
    return () => {};
  }
  const collect = garbageCollector();
  let before = process.cpuUsage();
  let wasBusy = false;
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage(before);
    before = process.cpuUsage();
    const isBusy = (user + system) / 1000 >= EVERY_MS * BUSY_SHARE;
    if (wasBusy && !isBusy) collect();
    if (wasBusy || isBusy) trim(0);
    wasBusy = isBusy;
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
