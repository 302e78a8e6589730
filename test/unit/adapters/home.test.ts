import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createFileTree } from "../../../src/adapters/files/index.ts";
import { isCairnHome, lockHome, markHome } from "../../../src/adapters/home/index.ts";
import { must } from "../../../src/base/assert.ts";
import {
  HOME_FORMAT_VERSION,
  HOME_MARKER,
  hasHomeMarker,
  parseHomeMarker,
} from "../../../src/base/home-marker.ts";
import { bytePathOf } from "../../../src/base/paths.ts";
import { scratchDirectories } from "../../support/scratch.ts";

const scratch = scratchDirectories();
const LOCK_MODULE = join(import.meta.dirname, "../../../src/adapters/home/lock.ts");

/** Another process that holds the lock, with a child of its own that outlives it; the pids of both. */
async function startHolder(home: string): Promise<{ holder: ChildProcess; grandchild: number }> {
  const script =
    `import { lockHome } from ${JSON.stringify(LOCK_MODULE)}; import { spawn } from "node:child_process";` +
    `lockHome(${JSON.stringify(home)});` +
    `const child = spawn("sleep", ["60"], { detached: true, stdio: "ignore" });` +
    `console.log(child.pid); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(must(holder.stdout, "output of the holder"), "data");
  return { holder, grandchild: Number(String(line)) };
}

describe("lockHome", () => {
  it("lets one in, even within a process, until it is released", () => {
    const home = scratch();
    const lock = lockHome(home);
    const held = expect.objectContaining({ detail: { code: "HOME_LOCKED", home, pid: process.pid } });
    expect(() => lockHome(home)).toThrow(held);
    expect(() => lockHome(home)).toThrow(held);
    lock.release();
    lock.release();
    lockHome(home).release();
  });

  it("says who holds it, and is free when that process is killed although its child lives on", async () => {
    const home = scratch();
    const { holder, grandchild } = await startHolder(home);
    try {
      expect(() => lockHome(home)).toThrow(
        expect.objectContaining({ detail: { code: "HOME_LOCKED", home, pid: holder.pid } }),
      );
      holder.kill("SIGKILL");
      await once(holder, "exit");
      process.kill(grandchild, 0);
      lockHome(home).release();
    } finally {
      holder.kill("SIGKILL");
      process.kill(grandchild, "SIGKILL");
    }
  });

  it("does not mind what is in the file", () => {
    const home = scratch();
    writeFileSync(join(home, "lock"), "4194305 and more, longer than any number of a process is");
    const lock = lockHome(home);
    expect(readFileSync(join(home, "lock"), "utf8")).toBe(`${process.pid}\n`);
    writeFileSync(join(home, "lock"), "no number");
    expect(() => lockHome(home)).toThrow(expect.objectContaining({ detail: { code: "HOME_LOCKED", home } }));
    lock.release();
  });

  it("says when there is no home", () => {
    const home = join(scratch(), "absent");
    expect(() => lockHome(home)).toThrow(expect.objectContaining({ code: "HOME_MISSING" }));
  });
});

describe("the marker", () => {
  it("makes a home that is recognised by its entries and by its bytes", async () => {
    const home = scratch();
    const tree = createFileTree();
    const looksMarked = async (): Promise<boolean> =>
      hasHomeMarker(await tree.list(bytePathOf(home))) && (await tree.isHome(bytePathOf(home)));
    expect([isCairnHome(home), await looksMarked()]).toEqual([false, false]);
    markHome(home);
    expect([isCairnHome(home), await looksMarked()]).toEqual([true, true]);
    expect(() => markHome(home)).toThrow(expect.objectContaining({ code: "HOME_EXISTS" }));
    appendFileSync(join(home, "cairn-home"), "# a remark\n");
    expect([isCairnHome(home), await looksMarked()]).toEqual([true, true]);
    expect(isCairnHome(join(home, "absent"))).toBe(false);
  });

  it("is not any file of that name", async () => {
    const home = scratch();
    writeFileSync(join(home, "cairn-home"), "my notes on piling stones");
    expect(isCairnHome(home)).toBe(false);
    expect(hasHomeMarker(await createFileTree().list(bytePathOf(home)))).toBe(false);
    writeFileSync(join(home, "cairn-home"), "x".repeat(300));
    expect(hasHomeMarker(await createFileTree().list(bytePathOf(home)))).toBe(true);
    expect(await createFileTree().isHome(bytePathOf(home))).toBe(false);
    expect(await createFileTree().isHome(bytePathOf(join(home, "absent")))).toBe(false);
    expect(parseHomeMarker(new Uint8Array(0))).toBeUndefined();
    expect(parseHomeMarker(HOME_MARKER)).toBe(HOME_FORMAT_VERSION);
  });

  it("of a newer format is not taken for ours", () => {
    const home = scratch();
    const newer = Buffer.from(HOME_MARKER)
      .toString()
      .replace(/Format: \d+/, "Format: 999");
    writeFileSync(join(home, "cairn-home"), newer);
    expect(() => isCairnHome(home)).toThrow(expect.objectContaining({ code: "FORMAT_VERSION" }));
  });
});
