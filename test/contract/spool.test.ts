import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../sim/clock.ts";
import { SimDisk } from "../../sim/disk.ts";
import { SeededRng } from "../../sim/rng.ts";
import { SimSpoolDisk } from "../../sim/spool.ts";
import { openFileSpool } from "../../src/adapters/store/index.ts";
import { PowerFailFiles, type PowerLoss } from "../support/power-fail-files.ts";
import { bytesNamed, temporaryDirectory } from "../support/stores.ts";
import { spoolContract } from "./spool.ts";

spoolContract("files", async () => {
  const directory = join(temporaryDirectory(), "spool");
  const open = () => openFileSpool({ directory });
  return { spool: await open(), reopen: open };
});

spoolContract("simulated", async () => {
  const clock = new VirtualClock();
  const data = new SimSpoolDisk(new SimDisk({ clock, rng: new SeededRng(1), totalBytes: 2 ** 30 }));
  return { spool: data.open(), reopen: async () => data.open() };
});

describe("the spool on files", () => {
  it("removes what a crash left half written", async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "segment-1.tmp"), "half");
    const spool = await openFileSpool({ directory });
    expect(await spool.list()).toEqual([]);
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each<PowerLoss>(["loses-all", "keeps-all", "tears"])(
    "after a loss of power that %s, at every point, has what was finished",
    async (how) => {
      for (let crashAt = 0; ; crashAt++) {
        const files = new PowerFailFiles();
        let steps = 0;
        const hang = new Promise<never>(() => {});
        let off: () => void = () => {};
        const powerGoes = new Promise<"off">((resolve) => {
          off = () => resolve("off");
        });
        const done: string[] = [];
        const run = async (): Promise<"finished"> => {
          const spool = await openFileSpool({
            directory: "/spool",
            files: files.open(async () => {
              if (steps++ < crashAt) return;
              off();
              await hang;
            }),
          });
          await spool.put("a", bytesNamed("a1", 100));
          done.push("a1");
          await spool.put("b", bytesNamed("b1", 100));
          done.push("b1");
          await spool.put("a", bytesNamed("a2", 100));
          done.push("a2");
          await spool.delete("b");
          done.push("-b");
          return "finished";
        };
        const outcome = await Promise.race([run(), powerGoes]);
        files.losePower(how, new SeededRng(crashAt));
        const again = await openFileSpool({ directory: "/spool", files: files.open() });
        const a = await again.get("a");
        const b = await again.get("b");
        const allowedA = done.includes("a2")
          ? ["a2"]
          : done.includes("a1")
            ? ["a1", "a2"]
            : ["a1", undefined];
        const allowedB = done.includes("-b")
          ? [undefined]
          : done.includes("a2")
            ? ["b1", undefined]
            : done.includes("b1")
              ? ["b1"]
              : ["b1", undefined];
        const matches = (bytes: Uint8Array | undefined, names: (string | undefined)[]) =>
          names.some(
            (name) =>
              Buffer.compare(bytes ?? Buffer.alloc(0), name ? bytesNamed(name, 100) : Buffer.alloc(0)) === 0,
          );
        expect({ crashAt, a: matches(a, allowedA), b: matches(b, allowedB) }).toEqual({
          crashAt,
          a: true,
          b: true,
        });
        if (outcome === "finished") break;
      }
    },
  );
});
