import type { Log } from "../base/log.ts";
import type { BytePath } from "../base/paths.ts";
import type { Clock, FileTree, TreeWatcher, WatchScope } from "../ports/index.ts";
import { type SetSight, SetWatch } from "./set-watch.ts";

/** A set whose changes are to be noticed. */
export interface WatchedSet {
  readonly name: string;
  readonly everyMs: number;
  readonly paths: readonly BytePath[];
  readonly excludes: readonly BytePath[];
  readonly oneFileSystem: boolean;
}

export interface SetWatchesInit {
  readonly clock: Clock;
  readonly log: Log;
  readonly watcher: TreeWatcher;
  readonly tree: Pick<FileTree, "lstat" | "list" | "isHome">;
  /** What a snapshot would leave out. */
  readonly leavesOut: (excludes: readonly BytePath[]) => WatchScope["leavesOut"];
}

/** One watch for each continuous set of the policy in force. */
export class SetWatches {
  readonly #c: SetWatchesInit;
  readonly #watches = new Map<string, { readonly key: string; readonly watch: SetWatch }>();
  readonly #ending = new Set<Promise<void>>();

  constructor(init: SetWatchesInit) {
    this.#c = init;
  }

  /** Those that are as before go on; a set that is another one now is watched anew. */
  follow(sets: readonly WatchedSet[]): void {
    const wanted = new Map(sets.map((set) => [set.name, set]));
    for (const [name, { key, watch }] of this.#watches) {
      const set = wanted.get(name);
      if (set !== undefined && JSON.stringify(set) === key) continue;
      this.#watches.delete(name);
      this.#end(watch);
    }
    for (const [name, set] of wanted) {
      if (this.#watches.has(name)) continue;
      const { leavesOut, ...rest } = this.#c;
      const { everyMs, paths, oneFileSystem, excludes } = set;
      const scope = { paths, oneFileSystem, leavesOut: leavesOut(excludes) };
      const watch = new SetWatch({ set: name, everyMs, scope, ...rest });
      this.#watches.set(name, { key: JSON.stringify(set), watch });
      watch.start();
    }
  }

  of(name: string): SetWatch | undefined {
    return this.#watches.get(name)?.watch;
  }

  sightOf(name: string): SetSight | undefined {
    return this.of(name)?.sight;
  }

  async stop(): Promise<void> {
    this.follow([]);
    await Promise.all(this.#ending);
  }

  #end(watch: SetWatch): void {
    const ended = watch.stop().finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
  }
}
