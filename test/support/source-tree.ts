import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { SeededRng } from "../../sim/rng.ts";

/** A file, its directories made on the way. Returns its path. */
export function put(root: string, name: string, bytes: Uint8Array | string): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

/** A small ordinary tree. */
export function buildPlainTree(root: string, rng: SeededRng, files = 20, bytesMax = 60_000): string {
  for (let i = 0; i < files; i++) {
    put(root, `d${i % 4}/e${i % 3}/f${i}`, rng.bytes(Math.floor((bytesMax * (i + 1)) / files)));
  }
  return root;
}

/** Everything that a file system can come up with and an ordinary user may make. */
export function buildHardTree(root: string, rng: SeededRng): string {
  mkdirSync(root, { recursive: true });
  const raw = (name: string): Buffer => Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, "latin1")]);
  writeFileSync(raw("caf\xe9 \xff\x01"), "not UTF-8");
  mkdirSync(raw("dir\xfe"));
  writeFileSync(raw("dir\xfe/in\nside"), rng.bytes(5000));
  put(root, "empty", "");
  mkdirSync(join(root, "empty-directory"));
  // More than 64 chunks of at most 16 KiB.
  put(root, "big", rng.bytes(2_500_000));
  put(root, "text", "line\n".repeat(20_000));
  for (let i = 0; i < 3000; i++) put(root, `many/entry-${i}`, i % 7 === 0 ? rng.bytes(100) : "");
  linkSync(join(root, "text"), join(root, "linked-1"));
  linkSync(join(root, "big"), join(root, "many/linked-2"));
  symlinkSync("text", join(root, "link"));
  symlinkSync("../nowhere/\u00e9", join(root, "broken"));
  sparse(join(root, "sparse"), rng);
  const holes = openSync(join(root, "only-a-hole"), "w");
  closeSync(holes);
  truncateSync(join(root, "only-a-hole"), 5_000_000);
  execFileSync("setfattr", ["-n", "user.comment", "-v", "hello", join(root, "text")]);
  execFileSync("setfattr", ["-n", "user.empty", join(root, "empty")]);
  execFileSync("setfattr", [
    "-n",
    "user.on-directory",
    "-v",
    "x".repeat(2000),
    join(root, "empty-directory"),
  ]);
  execFileSync("setfacl", ["-m", "u:7:r", join(root, "empty")]);
  for (const [name, mode] of [
    ["mode-0", 0],
    ["mode-755", 0o755],
    ["mode-4751", 0o4751],
    ["mode-1777", 0o1777],
  ] as const) {
    chmodSync(put(root, name, name), mode);
  }
  const deep = "deep/".repeat(30);
  put(root, `${deep}end`, "the end");
  chmodSync(join(root, "empty-directory"), 0o2750);
  utimesSync(join(root, "empty"), 1, -1.5);
  utimesSync(join(root, "deep"), 1_000_000_000, 1_000_000_000.123);
  return root;
}

function sparse(path: string, rng: SeededRng): void {
  const fd = openSync(path, "w");
  writeSync(fd, rng.bytes(10_000), 0, 10_000, 1_000_000);
  writeSync(fd, rng.bytes(70_000), 0, 70_000, 3_000_000);
  closeSync(fd);
  truncateSync(path, 8_000_000);
}
