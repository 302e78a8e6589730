/**
 * What one call on the file system costs, on a tree that is there already:
 *   node bench/walk.ts [DIRECTORY]        (default /usr/share)
 * and what writing as many small files costs, into a temporary directory that is removed again. CPU is that of
 * this process, system time included; the caches are warm after the first pass.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFileOpener, createFileTarget, createFileTree } from "../src/adapters/files/index.ts";
import { type BytePath, bytePathOf, joinPath } from "../src/base/paths.ts";
import type { FileMetadata } from "../src/ports/file-tree.ts";

const SMALL_FILES = 20_000;
const FILES_PER_DIRECTORY = 40;

const tree = createFileTree();
const files: BytePath[] = [];
const all: BytePath[] = [];

async function walk(directory: BytePath): Promise<void> {
  for (const { name, stat } of await tree.list(directory)) {
    const path = joinPath(directory, name);
    all.push(path);
    if (stat?.type === "directory") await walk(path);
    else if (stat?.type === "file") files.push(path);
  }
}

async function measure(what: string, run: () => Promise<number> | number): Promise<void> {
  const cpu = process.cpuUsage();
  const beganMs = performance.now();
  let longestMs = 0;
  let lastMs = beganMs;
  const timer = setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - lastMs);
    lastMs = performance.now();
  }, 1);
  const count = await run();
  longestMs = Math.max(longestMs, performance.now() - lastMs);
  clearInterval(timer);
  const used = process.cpuUsage(cpu);
  const elapsedMs = performance.now() - beganMs;
  const cpuMs = (used.user + used.system) / 1000;
  console.log(
    `${what.padEnd(34)} ${String(count).padStart(7)} x ${((cpuMs * 1000) / count).toFixed(2).padStart(7)} us CPU` +
      `   ${cpuMs.toFixed(0).padStart(6)} ms CPU ${elapsedMs.toFixed(0).padStart(6)} ms elapsed` +
      `   event loop held ${longestMs.toFixed(0)} ms at most`,
  );
}

const top = bytePathOf(process.argv[2] ?? "/usr/share");
for (const pass of ["first", "second", "third"]) {
  await measure(`list and lstat, ${pass} pass`, async () => {
    files.length = 0;
    all.length = 0;
    await walk(top);
    return all.length;
  });
}

await measure("lstat by path", async () => {
  for (const path of all) await tree.lstat(path);
  return all.length;
});

await measure("xattrs by path", async () => {
  for (const path of all) await tree.xattrs(path);
  return all.length;
});

const opener = createFileOpener();
const buffer = new Uint8Array(64 * 1024);
await measure("open, stat, read 64 KiB, close", () => {
  for (const path of files) {
    const file = opener.open(path);
    file.stat();
    file.read(0, buffer);
    file.close();
  }
  return files.length;
});

const scratch = mkdtempSync(join(tmpdir(), "cairn-bench-"));
try {
  const target = await createFileTarget(bytePathOf(join(scratch, "target")));
  const contents = new Uint8Array(4096).fill(7);
  const metadata: FileMetadata = {
    mode: 0o644,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    mtimeNs: 1_700_000_000_123_456_789n,
    xattrs: [],
  };
  const directories: BytePath[] = [];
  await measure("makeDirectory", async () => {
    for (let i = 0; i < SMALL_FILES / FILES_PER_DIRECTORY; i++) {
      const directory = bytePathOf(`d${i}`);
      await target.makeDirectory(directory);
      directories.push(directory);
    }
    return directories.length;
  });
  const write = async (): Promise<number> => {
    for (let i = 0; i < SMALL_FILES; i++) {
      const directory = directories[i % directories.length] ?? bytePathOf("d0");
      await target.writeFile(joinPath(directory, bytePathOf(`file-${i}.txt`)), contents, metadata);
    }
    return SMALL_FILES;
  };
  await measure("writeFile, 4 KiB, new", write);
  await measure("writeFile, 4 KiB, replacing", write);
  await measure("setMetadata of directories", async () => {
    for (const directory of directories) await target.setMetadata(directory, { ...metadata, mode: 0o755 });
    return directories.length;
  });
  await measure("remove, recursive", async () => {
    for (const directory of directories) await target.remove(directory, { recursive: true });
    return SMALL_FILES + directories.length;
  });
  await target.close();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
