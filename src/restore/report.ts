import type { BytePath } from "../base/paths.ts";
import type { MetadataProblem } from "../ports/index.ts";

export interface RestoreProblem {
  readonly path: BytePath;
  readonly what: "contents" | "directory" | "owner" | "mode" | "time" | "xattr" | "entry" | "delete";
  /** An errno or a few plain words. */
  readonly reason: string;
}

/** So many problems are listed; the count goes on. */
const LISTED_MAX = 10_000;

/** What a restore wrote, left alone, and could not do. */
export class RestoreReport {
  files = 0;
  directories = 0;
  bytes = 0;
  skippedUnchanged = 0;
  skippedExisting = 0;
  deleted = 0;
  /** Owners that only root can set; said once, not for each file. */
  ownersNotRestored = 0;
  problemCount = 0;
  readonly problems: RestoreProblem[] = [];

  problem(path: BytePath, what: RestoreProblem["what"], reason: string): void {
    this.problemCount++;
    if (this.problems.length < LISTED_MAX) this.problems.push({ path, what, reason });
  }

  metadata(path: BytePath, problems: readonly MetadataProblem[], privileged: boolean): void {
    for (const { what, errno, name } of problems) {
      if (what === "owner" && !privileged) this.ownersNotRestored++;
      else this.problem(path, what, name === undefined ? errno : `${name}: ${errno}`);
    }
  }
}
