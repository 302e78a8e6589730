import type { SeededRng } from "../../sim/rng.ts";
import type { FileOps } from "../../src/adapters/store/index.ts";

class FileNode {
  contents = new Uint8Array(0);
  /** As of the last sync. */
  durable = new Uint8Array(0);
}

class DirectoryNode {
  entries = new Map<string, Node>();
  /** As of the last sync. */
  durable = new Map<string, Node>();
}

type Node = FileNode | DirectoryNode;

/** What a loss of power does to names and bytes that were not synced. */
export type PowerLoss = "loses-all" | "keeps-all" | "tears";

/**
 * A file system of which POSIX promises nothing but what was synced: bytes by a sync of the file, names by one
 * of their directory. `step` is told of every operation before it takes effect and before it returns; once it
 * never answers, that operation and all later ones hang, as in a machine that is off.
 */
export class PowerFailFiles {
  readonly #root = new DirectoryNode();
  freeBytes = 2 ** 40;
  totalBytes = 2 ** 40;

  /** The operations of one life of the machine. Paths are absolute; "/" is there. */
  open(step: (operation: string) => Promise<void> = async () => {}): FileOps {
    const around = async <T>(operation: string, effect: () => T): Promise<T> => {
      await step(`before ${operation}`);
      const result = effect();
      await step(`after ${operation}`);
      return result;
    };
    return {
      makeDirectory: (path) =>
        around(`mkdir ${path}`, () => {
          const [parent, name] = this.#parent(path);
          if (!parent.entries.has(name)) parent.entries.set(name, new DirectoryNode());
        }),
      syncDirectory: (path) =>
        around(`syncdir ${path}`, () => {
          const node = this.#directory(path);
          node.durable = new Map(node.entries);
        }),
      create: async (path) => {
        const file = await around(`create ${path}`, () => {
          const [parent, name] = this.#parent(path);
          const node = new FileNode();
          parent.entries.set(name, node);
          return node;
        });
        return {
          write: (bytes) =>
            around(`write ${path}`, () => {
              file.contents = new Uint8Array(Buffer.concat([file.contents, bytes]));
            }),
          sync: () =>
            around(`sync ${path}`, () => {
              file.durable = file.contents.slice();
            }),
          close: async () => {},
        };
      },
      rename: (from, to) =>
        around(`rename ${from} ${to}`, () => {
          const [source, sourceName] = this.#parent(from);
          const [target, targetName] = this.#parent(to);
          const node = source.entries.get(sourceName);
          if (node === undefined) throw absent(from);
          source.entries.delete(sourceName);
          target.entries.set(targetName, node);
        }),
      remove: (path) =>
        around(`remove ${path}`, () => {
          const [parent, name] = this.#parent(path);
          return parent.entries.delete(name);
        }),
      read: (path, offset, length) =>
        around(`read ${path}`, () => this.#file(path)?.contents.slice(offset, offset + length)),
      size: (path) => around(`size ${path}`, () => this.#file(path)?.contents.length),
      list: (path) => this.#list(path),
      diskSpace: async () => ({ freeBytes: this.freeBytes, totalBytes: this.totalBytes }),
    };
  }

  /** The disk as it is found when the power is back. */
  losePower(how: PowerLoss, rng: SeededRng): void {
    this.#settle(this.#root, how, rng);
  }

  paths(): string[] {
    const found: string[] = [];
    const visit = (node: Node, path: string): void => {
      if (node instanceof FileNode) found.push(path);
      else for (const [name, child] of node.entries) visit(child, `${path}/${name}`);
    };
    visit(this.#root, "");
    return found.sort();
  }

  /** Takes the file's bytes to change them behind everybody's back. */
  contents(path: string): Uint8Array | undefined {
    return this.#file(path)?.contents;
  }

  #settle(directory: DirectoryNode, how: PowerLoss, rng: SeededRng): void {
    const names = new Set([...directory.entries.keys(), ...directory.durable.keys()]);
    const after = new Map<string, Node>();
    for (const name of names) {
      const kept = how === "keeps-all" || (how === "tears" && rng.chance(0.5));
      const node = (kept ? directory.entries : directory.durable).get(name);
      if (node !== undefined) after.set(name, node);
    }
    directory.entries = after;
    directory.durable = new Map(after);
    for (const node of after.values()) {
      if (node instanceof DirectoryNode) this.#settle(node, how, rng);
      else settleFile(node, how, rng);
    }
  }

  async *#list(path: string) {
    const node = this.#node(path);
    if (!(node instanceof DirectoryNode)) return;
    for (const [name, child] of [...node.entries]) {
      yield { name, directory: child instanceof DirectoryNode };
    }
  }

  #node(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of path.split("/").filter((one) => one !== "")) {
      node = node instanceof DirectoryNode ? node.entries.get(part) : undefined;
    }
    return node;
  }

  #file(path: string): FileNode | undefined {
    const node = this.#node(path);
    return node instanceof FileNode ? node : undefined;
  }

  #directory(path: string): DirectoryNode {
    const node = this.#node(path);
    if (!(node instanceof DirectoryNode)) throw absent(path);
    return node;
  }

  #parent(path: string): [DirectoryNode, string] {
    const slash = path.lastIndexOf("/");
    return [this.#directory(path.slice(0, slash)), path.slice(slash + 1)];
  }
}

function settleFile(file: FileNode, how: PowerLoss, rng: SeededRng): void {
  if (how === "loses-all") file.contents = file.durable.slice();
  if (how === "tears" && !sameBytes(file.contents, file.durable)) {
    // Some of it was written back, in no order: a cut length, and blocks that are zero.
    const torn = file.contents.slice(0, rng.below(file.contents.length + 1));
    const from = rng.below(torn.length + 1);
    torn.fill(0, from, from + rng.below(torn.length - from + 1));
    file.contents = torn;
  }
  file.durable = file.contents.slice();
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function absent(path: string): Error {
  return Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
}
