import type { BytePath } from "../base/paths.ts";

/** So many paths are listed; the counts go on. */
const LISTED_MAX = 10_000;

class PathList<T> {
  readonly listed: T[] = [];
  count = 0;

  add(item: T): void {
    this.count++;
    if (this.listed.length < LISTED_MAX) this.listed.push(item);
  }
}

/** What a snapshot says of the paths that did not come out as one might expect, and what it counted. */
export class CaptureReport {
  readonly unreadable = new PathList<{ path: BytePath; errno: string }>();
  readonly changed = new PathList<{ path: BytePath }>();
  readonly skipped = new PathList<{ path: BytePath; reason: string }>();
  excluded = 0;
  files = 0;
  directories = 0;
  bytes = 0;
  bytesRead = 0;
  /** Everybody who owns something that was seen. */
  readonly uids = new Set<number>();
  readonly gids = new Set<number>();
}
