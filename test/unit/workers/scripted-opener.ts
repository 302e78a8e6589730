import { Fault } from "../../../src/base/fault.ts";
import { displayPath } from "../../../src/base/paths.ts";
import type { FileOpener, FileStat } from "../../../src/ports/file-tree.ts";

/** Files that do to a worker what their name says. */
export function createFileOpener(): FileOpener {
  return {
    open(path) {
      const name = displayPath(path);
      if (name === "exit") process.exit(3);
      if (name === "throw late") {
        queueMicrotask(() => {
          throw new Error("thrown where nobody waits");
        });
      }
      if (name === "bug") throw new RangeError("a bug in the opener");
      if (name === "denied") throw new Fault({ code: "SOURCE_UNREADABLE", path: name, errno: "EPERM" });
      if (name === "slow") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
      return {
        stat: () => emptyStat,
        read: () => 0,
        nextData: () => undefined,
        nextHole: (offset) => offset,
        close: () => {},
      };
    },
  };
}

export const emptyStat: FileStat = {
  type: "file",
  mode: 0o600,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeNs: 0n,
  ctimeNs: 0n,
  device: 0n,
  inode: 0n,
  links: 1,
  major: 0,
  minor: 0,
  blocks: 0,
};
