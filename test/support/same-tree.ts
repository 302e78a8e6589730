import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { createFileTree } from "../../src/adapters/files/index.ts";
import { toHex } from "../../src/base/bytes.ts";
import { type BytePath, bytePathOf, displayPath, joinPath, pathBytes } from "../../src/base/paths.ts";
import { sha256 } from "../../src/crypto/hash.ts";

/** Everything that a restore gives back of a directory's contents, one line an entry, by relative path. */
export async function describeTree(root: string): Promise<string[]> {
  const tree = createFileTree();
  const lines: string[] = [];
  const groups = new Map<string, string>();
  const walk = async (path: BytePath, relative: string): Promise<void> => {
    for (const { name, stat } of await tree.list(path)) {
      if (stat === undefined) throw new Error(`${displayPath(path)} cannot be listed`);
      const full = joinPath(path, name);
      const own = `${relative}/${toHex(pathBytes(name))}(${displayPath(name)})`;
      const xattrs = (await tree.xattrs(full)).map((x) => `${displayPath(x.name)}=${toHex(x.value)}`);
      const facts: unknown[] = [
        stat.type,
        stat.mode.toString(8),
        stat.uid,
        stat.gid,
        stat.mtimeNs,
        ...xattrs,
      ];
      if (stat.type === "file") {
        const bytes = readFileSync(pathBytes(full));
        facts.push(stat.size, toHex(sha256(bytes)), stat.blocks * 512 < stat.size ? "sparse" : "dense");
      }
      if (stat.type === "symlink") facts.push(toHex(pathBytes(await tree.readlink(full))));
      if (stat.major + stat.minor > 0) facts.push(stat.major, stat.minor);
      if (stat.links > 1 && stat.type !== "directory") {
        const key = `${stat.device}/${stat.inode}`;
        const first = groups.get(key) ?? own;
        groups.set(key, first);
        facts.push(`${stat.links} links, first ${first}`);
      }
      lines.push(`${own}: ${facts.join(" ")}`);
      if (stat.type === "directory") await walk(full, own);
    }
  };
  await walk(bytePathOf(root), "");
  return lines;
}

/** By our own strict comparison, by diff and by rsync. `specials`: there are FIFOs or devices, which diff cannot compare. */
export async function expectSameTree(
  from: string,
  to: string,
  options: { specials?: boolean } = {},
): Promise<void> {
  expect(await describeTree(to)).toEqual(await describeTree(from));
  if (options.specials !== true) {
    const diff = spawnSync("diff", ["-r", "--no-dereference", from, to], { encoding: "latin1" });
    expect(diff.stdout + diff.stderr).toBe("");
  }
  const flags = ["-aHAXn", "--itemize-changes", "--delete", "--modify-window=-1", "--checksum"];
  expect(execFileSync("rsync", [...flags, `${from}/`, `${to}/`], { encoding: "latin1" })).toBe("");
}
