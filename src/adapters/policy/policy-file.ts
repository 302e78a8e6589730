import { randomUUID } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { Fault } from "../../base/fault.ts";
import { MIB } from "../../base/units.ts";
import type { PolicyFile } from "../../ports/index.ts";

/** Longer ones are refused by whoever reads them; this bounds what is read. */
const BYTES_MAX = 2 * MIB;
const GROUP_AND_OTHERS_WRITE = 0o022;

export function openPolicyFile(path: string): PolicyFile {
  return {
    async read() {
      let file: FileHandle;
      try {
        file = await open(path, "r");
      } catch (error) {
        if (errnoOf(error) === "ENOENT") return undefined;
        throw failed(path, error);
      }
      try {
        return await readChecked(file, path);
      } finally {
        await file.close();
      }
    },
    async write(text) {
      const temporary = `${path}.${randomUUID()}`;
      try {
        await writeSynced(temporary, text);
        await rename(temporary, path);
        const directory = await open(dirname(path), "r");
        await directory.sync().finally(() => directory.close());
      } catch (error) {
        await rm(temporary, { force: true });
        throw failed(path, error);
      }
    },
  };
}

async function readChecked(file: FileHandle, path: string): Promise<string> {
  const { uid, mode, size } = await file.stat();
  const own = process.getuid?.();
  if (own !== undefined && uid !== own && uid !== 0)
    throw refused(path, `it belongs to user ${uid}, and commands in it would run as user ${own}`);
  if ((mode & GROUP_AND_OTHERS_WRITE) !== 0)
    throw refused(path, "others may write it, and commands in it would run as this user: chmod go-w");
  if (size > BYTES_MAX) throw refused(path, `it is longer than ${BYTES_MAX} bytes`);
  return await file.readFile("utf8");
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

function refused(path: string, why: string): Fault {
  return new Fault({ code: "NOT_ALLOWED", reason: `${path} is not used: ${why}` });
}

function failed(where: string, error: unknown): Fault {
  return new Fault({ code: "DISK_FAILED", where, errno: errnoOf(error) ?? String(error) }, { cause: error });
}

function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
