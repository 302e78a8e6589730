import { compileGlobs, type GlobSet } from "../base/glob.ts";
import { type BytePath, bytePathOf } from "../base/paths.ts";

/** Views of the kernel and what lives no longer than the machine is up: never part of a snapshot. */
const NEVER_SAVED: ReadonlySet<BytePath> = new Set(["/proc", "/sys", "/dev", "/run"].map(bytePathOf));

/** What a walk leaves out, and why. */
export class CaptureRules {
  readonly #excludes: GlobSet;
  readonly oneFileSystem: boolean;

  constructor(init: { excludes: readonly BytePath[]; oneFileSystem: boolean }) {
    this.#excludes = compileGlobs(init.excludes, { coversBelow: true });
    this.oneFileSystem = init.oneFileSystem;
  }

  /** A plain reason when the path is always left out. */
  neverSaved(path: BytePath): string | undefined {
    return NEVER_SAVED.has(path) ? "belongs to the running system" : undefined;
  }

  isExcluded(path: BytePath): boolean {
    return this.#excludes.matches(path);
  }
}

/** What no walk with these patterns looks at, for whoever wants to know of changes in the rest. */
export function leavesOut(excludes: readonly BytePath[]): (path: BytePath) => boolean {
  const rules = new CaptureRules({ excludes, oneFileSystem: false });
  return (path) => rules.neverSaved(path) !== undefined || rules.isExcluded(path);
}
