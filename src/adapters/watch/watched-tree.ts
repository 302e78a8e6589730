import { HOME_MARKER_NAME } from "../../base/home-marker.ts";
import { type BytePath, baseName, joinPath, parentPath } from "../../base/paths.ts";
import { SECOND_MS } from "../../base/units.ts";
import type { FileTree, TreeWatch, WatchScope, WatchSight } from "../../ports/index.ts";
import { errnoName } from "../files/errno.ts";
import { AT_FDCWD, libc } from "../files/libc.ts";
import { openDirectory, readNames } from "../files/listing.ts";
import { statAt } from "../files/stat.ts";
import { turnIfDue } from "../files/turn.ts";
import {
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_IGNORED,
  IN_ISDIR,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
  Inotify,
  type InotifyEvent,
} from "./inotify.ts";
import { refusalOf, sharedFileSystem } from "./limits.ts";

/** A directory that is watched. A root's name is its whole path. */
interface Directory {
  readonly watch: number;
  readonly name: BytePath;
  readonly parent: Directory | undefined;
  readonly device: bigint;
  children: Map<BytePath, Directory> | undefined;
}

/** A directory that is to be watched. */
interface Newcomer {
  readonly path: BytePath;
  readonly parent: Directory | undefined;
}

export interface WatchedTreeInit {
  readonly scope: WatchScope;
  readonly tree: Pick<FileTree, "isHome">;
  /** Why no more directories may be watched; `undefined`: one more may. */
  readonly full: () => string | undefined;
  readonly onClose: () => void;
}

/** The kernel's queue is emptied so often; it holds 16,384 events by default. */
const READ_EVERY_MS = SECOND_MS;
const CLOSED = "it was closed";
/** More that wait to be taken in: beginning anew is cheaper. */
const NEWCOMERS_MAX = 10_000;

/**
 * All directories of a scope, each with a watch of its own: inotify knows no trees. The parent of each root is watched for
 * the root's name, so that a root that is replaced, or is a file, or comes into being later, is noticed too.
 */
export class WatchedTree implements TreeWatch {
  readonly #init: WatchedTreeInit;
  readonly #known = new Map<number, Directory>();
  /** Of parents of roots: the names that matter in them. */
  readonly #rootsIn = new Map<number, Set<BytePath>>();
  readonly #timer: NodeJS.Timeout;
  #queue: Inotify | undefined;
  #newcomers: Newcomer[] = [];
  #taking: Promise<string | undefined> | undefined;
  #changed = false;
  #isClosed = false;
  #lost: string | undefined = "nothing is watched yet";

  constructor(init: WatchedTreeInit) {
    this.#init = init;
    this.#timer = setInterval(() => this.#turn(), READ_EVERY_MS);
    this.#timer.unref();
  }

  get directories(): number {
    return this.#known.size + this.#rootsIn.size;
  }

  look(): WatchSight {
    this.#read();
    const changed = this.#changed;
    this.#changed = false;
    const busy = this.#newcomers.length > 0 || this.#taking !== undefined;
    return {
      changed,
      complete: this.#lost === undefined && !busy,
      ...(this.#lost === undefined ? {} : { lost: this.#lost }),
    };
  }

  async renew(): Promise<string | undefined> {
    await this.#taking;
    if (this.#isClosed) return CLOSED;
    this.#read();
    if (this.#lost === undefined) return await this.#takeIn();
    return await this.#beginAnew();
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#forgetAll(CLOSED);
    this.#init.onClose();
  }

  #forgetAll(why: string): void {
    this.#queue?.close();
    this.#queue = undefined;
    this.#known.clear();
    this.#rootsIn.clear();
    this.#newcomers = [];
    this.#lost = why;
  }

  async #beginAnew(): Promise<string | undefined> {
    this.#forgetAll("it is beginning anew");
    const queue = Inotify.open();
    if (typeof queue === "number")
      return `inotify gives no queue: ${errnoName(-queue)} (fs.inotify.max_user_instances)`;
    this.#queue = queue;
    this.#lost = undefined;
    this.#changed = true;
    for (const root of this.#init.scope.paths) {
      const refusal = this.#watchParent(queue, root);
      if (refusal !== undefined) return refusal;
      this.#newcomers.push({ path: root, parent: undefined });
    }
    return await this.#takeIn();
  }

  #watchParent(queue: Inotify, root: BytePath): string | undefined {
    if (root === "/") return undefined;
    const parent = parentPath(root);
    const watch = queue.add(parent);
    if (watch < 0)
      return (
        refusalOf(-watch, parent) ??
        `the directory that ${baseName(root)} is in cannot be watched: ${errnoName(-watch)}`
      );
    const names = this.#rootsIn.get(watch) ?? new Set();
    this.#rootsIn.set(watch, names.add(baseName(root)));
    return undefined;
  }

  #turn(): void {
    this.#read();
    if (this.#newcomers.length > 0) void this.#takeIn();
  }

  /** Why it cannot be gone on with; one at a time. */
  #takeIn(): Promise<string | undefined> {
    this.#taking ??= this.#takeAllIn().finally(() => {
      this.#taking = undefined;
    });
    return this.#taking;
  }

  async #takeAllIn(): Promise<string | undefined> {
    const below: Newcomer[] = [];
    for (;;) {
      const next = below.pop() ?? this.#newcomers.pop();
      if (next === undefined) return undefined;
      await turnIfDue();
      const refusal = await this.#enter(next, below);
      if (refusal === undefined) continue;
      this.#lost ??= refusal;
      this.#newcomers = [];
      return refusal;
    }
  }

  /** Watched first and listed then: what is made in between is seen one way or the other. */
  async #enter({ path, parent }: Newcomer, below: Newcomer[]): Promise<string | undefined> {
    const { scope, tree, full } = this.#init;
    const stat = statAt(AT_FDCWD, path);
    if (typeof stat === "number") return refusalOf(-stat, path);
    if (stat.type !== "directory") return undefined;
    const { device } = stat;
    if (parent !== undefined && parent.device !== device && scope.oneFileSystem) return undefined;
    const refused = full() ?? (parent?.device === device ? undefined : sharedFileSystem(path));
    if (refused !== undefined) return refused;
    const watch = this.#queue?.add(path);
    if (watch === undefined) return CLOSED;
    if (watch < 0) return refusalOf(-watch, path);
    // A root within another one, or a directory that is mounted twice.
    if (this.#known.has(watch)) return undefined;
    const name = parent === undefined ? path : baseName(path);
    const directory: Directory = { watch, name, parent, device, children: undefined };
    this.#known.set(watch, directory);
    if (parent !== undefined) {
      parent.children ??= new Map();
      parent.children.set(name, directory);
    }
    const names = await namesBelow(path);
    if (names.includes(HOME_MARKER_NAME) && (await tree.isHome(path))) this.#forget(directory);
    else
      for (const child of names) {
        const childPath = joinPath(path, child);
        if (!scope.leavesOut(childPath)) below.push({ path: childPath, parent: directory });
      }
    return undefined;
  }

  #read(): void {
    for (const event of this.#queue?.read() ?? []) this.#take(event);
  }

  #take({ watch, mask, name }: InotifyEvent): void {
    if ((mask & IN_Q_OVERFLOW) !== 0) {
      this.#lose("more was changed at once than the kernel keeps");
      return;
    }
    const directory = this.#known.get(watch);
    if ((mask & IN_IGNORED) !== 0) {
      if (directory !== undefined) this.#drop(directory);
      this.#rootsIn.delete(watch);
      return;
    }
    if (this.#rootsIn.get(watch)?.has(name) === true) this.#takeOfRoot(mask);
    if (directory === undefined) return;
    if (name === "") {
      this.#changed = true;
      if ((mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) !== 0 && directory.parent === undefined)
        this.#lose("a path of the set was moved or removed");
      if ((mask & IN_UNMOUNT) !== 0) this.#lose("a file system was unmounted");
      return;
    }
    this.#takeWithin(directory, mask, name);
  }

  /** A root itself came, went or was replaced; of a file also its contents. */
  #takeOfRoot(mask: number): void {
    this.#changed = true;
    if ((mask & (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)) !== 0)
      this.#lose("a path of the set was replaced");
  }

  #takeWithin(directory: Directory, mask: number, name: BytePath): void {
    const path = joinPath(pathOf(directory), name);
    if (this.#init.scope.leavesOut(path)) return;
    this.#changed = true;
    if ((mask & IN_ISDIR) === 0) return;
    if ((mask & IN_MOVED_FROM) !== 0) {
      // What is being taken in may be what was moved: then some of it has been looked for where it is not any more.
      if (this.#taking !== undefined) this.#lose("a directory was moved while others were taken in");
      const moved = directory.children?.get(name);
      if (moved !== undefined) this.#forget(moved);
    }
    if ((mask & (IN_CREATE | IN_MOVED_TO)) !== 0) this.#newcomers.push({ path, parent: directory });
    if (this.#newcomers.length > NEWCOMERS_MAX) this.#lose("too many directories came at once");
  }

  #lose(why: string): void {
    this.#changed = true;
    this.#lost ??= why;
  }

  /** With all that is below it. */
  #forget(directory: Directory): void {
    const stack = [directory];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      for (const child of next.children?.values() ?? []) stack.push(child);
      // The parent of a root needs its watch all the same.
      if (!this.#rootsIn.has(next.watch)) this.#queue?.remove(next.watch);
      this.#drop(next);
    }
  }

  #drop(directory: Directory): void {
    this.#known.delete(directory.watch);
    const { parent, name } = directory;
    // Another one may have its name by now.
    if (parent?.children?.get(name) === directory) parent.children.delete(name);
  }
}

function pathOf({ name, parent }: Directory): BytePath {
  return parent === undefined ? name : joinPath(pathOf(parent), name);
}

/** What may be a directory, and the marker of a home where there is one. */
async function namesBelow(path: BytePath): Promise<BytePath[]> {
  const fd = openDirectory(AT_FDCWD, path);
  if (fd < 0) return [];
  try {
    const names = await readNames(fd);
    if (typeof names === "number") return [];
    return names
      .filter(({ name, mayBeDirectory }) => mayBeDirectory || name === HOME_MARKER_NAME)
      .map(({ name }) => name);
  } finally {
    libc().close(fd);
  }
}
