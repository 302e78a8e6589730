import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createFileOpener, createFileTree } from "../../src/adapters/files/index.ts";
import { must } from "../../src/base/assert.ts";
import { type BytePath, bytePathOf, pathBytes } from "../../src/base/paths.ts";
import type { Xattr } from "../../src/ports/file-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { describeFileTree, type PlantedNode } from "./file-tree.ts";

const scratch = scratchDirectories();

// Planted with the system's own tools, so that a mistake in how we call libc cannot cancel itself out.
function plant(node: PlantedNode): void {
  const path = pathBytes(node.path);
  switch (node.type) {
    case "directory":
      mkdirSync(path);
      break;
    case "symlink":
      symlinkSync(pathBytes(must(node.to, "target of a link")), path);
      break;
    case "hardlink":
      linkSync(pathBytes(must(node.to, "other name")), path);
      break;
    case "fifo":
      execFileSync("mkfifo", [node.path]);
      break;
    case "file":
      plantFile(node, path);
  }
  if (node.mode !== undefined) chmodSync(path, node.mode);
  for (const xattr of node.xattrs ?? []) setXattr(node.path, xattr);
  if (node.mtimeNs !== undefined) execFileSync("touch", ["-h", "-d", touchTime(node.mtimeNs), node.path]);
}

function plantFile(node: PlantedNode, path: Buffer): void {
  writeFileSync(path, "");
  const fd = openSync(path, "r+");
  for (const { offset, bytes } of node.pieces ?? []) writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
  if (node.size !== undefined) truncateSync(path, node.size);
}

/** Arguments are text, so the command comes on a shell's input, in octal. */
function setXattr(path: BytePath, { name, value }: Xattr): void {
  const octal = [...pathBytes(name)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  const hex = Buffer.from(value).toString("hex");
  // A final newline would be cut off by the substitution, so something is put behind it and taken away.
  const script = `n="$(printf '${octal}.')"; setfattr -n "\${n%.}" ${hex === "" ? "" : `-v 0x${hex}`} '${path}'`;
  execFileSync("sh", ["-c", script]);
}

/** `touch -d` takes a fraction that counts down from zero for times before 1970. */
function touchTime(ns: bigint): string {
  const magnitude = ns < 0n ? -ns : ns;
  const fraction = String(magnitude % 1_000_000_000n).padStart(9, "0");
  return `@${ns < 0n ? "-" : ""}${magnitude / 1_000_000_000n}.${fraction}`;
}

describeFileTree("this machine's", async () => {
  const root = bytePathOf(scratch());
  return {
    tree: createFileTree(),
    opener: createFileOpener(),
    root,
    plant: async (nodes) => nodes.forEach(plant),
  };
});
