import type { BytePath } from "../base/paths.ts";

/** What a snapshot of a set would look at. */
export interface WatchScope {
  readonly paths: readonly BytePath[];
  readonly oneFileSystem: boolean;
  /** Neither the path nor what lies below it is saved. */
  leavesOut(path: BytePath): boolean;
}

export interface WatchSight {
  /** Something may have changed since it was asked last. */
  readonly changed: boolean;
  /** False: something may have gone unseen since the last `renew`, or may from now on. */
  readonly complete: boolean;
  /** Why something may have gone unseen, where it is more than a directory that is being taken in. */
  readonly lost?: string;
}

/**
 * Notices that something below some paths was changed by this machine.
 * - After `open` or `renew` every change of a name, of attributes and of contents in scope is seen by a later `look`, as
 *   long as `look` says `complete`. What is seen may be too much; what is left out of a snapshot is mostly not reported.
 * - Writes through a memory map are seen when the file is closed, changes made by other machines on a network file system
 *   not at all: `open` refuses those that it knows.
 */
export interface TreeWatch {
  /** How many directories are watched. */
  readonly directories: number;
  look(): WatchSight;
  /** Takes in what is new, or begins anew where something was lost. Says why where that is not possible any more. */
  renew(): Promise<string | undefined>;
  close(): void;
}

export type WatchOpening =
  | { readonly ok: true; readonly watch: TreeWatch }
  /** `reason`: for people; a sentence without a full stop. */
  | { readonly ok: false; readonly reason: string };

/** Never throws for what the file system does. Once `signal` is aborted `open` ends soon, with whatever answer. */
export interface TreeWatcher {
  open(scope: WatchScope, signal: AbortSignal): Promise<WatchOpening>;
}
