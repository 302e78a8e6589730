import { constants } from "node:fs";
import { copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../base/fault.ts";
import { errnoOf } from "./disk-faults.ts";
import { LevelDatabase } from "./level-database.ts";

/**
 * The directory of a LevelMetaStore holds one LevelDB directory `db-N` and, from N = 2 on, the file `ACTIVE`
 * with its name. Other `db-*` are left over from a replacement that was cut short, and are removed.
 */
const ACTIVE = "ACTIVE";
const FIRST = "db-1";
/** How often copying begins again because LevelDB was still tidying up; each time 50 ms later. */
const COPY_ATTEMPTS_MAX = 20;
const COPY_PAUSE_MS = 50;

export async function openActiveDatabase(directory: string): Promise<LevelDatabase> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const active = await activeName(directory);
  for (const name of await readdir(directory)) {
    if (name !== active && (/^db-\d+$/.test(name) || name === `${ACTIVE}.tmp`)) {
      await rm(join(directory, name), { recursive: true });
    }
  }
  const database = await LevelDatabase.open(join(directory, active));
  await syncPath(directory);
  return database;
}

/**
 * Makes a working database of one that refuses writes, while that one goes on answering reads: LevelDB writes
 * no more after a failed write until it is opened anew, and closing it first would leave nothing to read from,
 * for good if the opening then failed. So the new one is opened on a copy (hard links to the sorted tables,
 * which never change; copies of the logs, a few MiB) and `ACTIVE` is pointed at it. The caller abandons the
 * old one, then calls `removeInactive`.
 */
export async function replaceDatabase(directory: string, old: LevelDatabase): Promise<LevelDatabase> {
  const oldName = await activeName(directory);
  const newName = `db-${Number(oldName.slice(3)) + 1}`;
  const path = join(directory, newName);
  await rm(path, { recursive: true, force: true });
  let database: LevelDatabase | undefined;
  try {
    await copyDatabase(old.path, path);
    database = await LevelDatabase.open(path);
    await syncPath(directory);
    await writeActive(directory, newName);
    return database;
  } catch (error) {
    await database?.abandon();
    if ((await activeName(directory)) === oldName) await rm(path, { recursive: true, force: true });
    throw error;
  }
}

export async function removeInactive(directory: string, path: string): Promise<void> {
  if (path !== join(directory, await activeName(directory))) await rm(path, { recursive: true, force: true });
}

/** What copying needs: the logs, and as much again for the tables that opening makes of them. */
export async function bytesToReplace(path: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(path)) {
    if (!isTable(name)) bytes += (await stat(join(path, name)).catch(() => ({ size: 0 }))).size;
  }
  return 2 * bytes + 256 * 1024;
}

async function activeName(directory: string): Promise<string> {
  try {
    const name = (await readFile(join(directory, ACTIVE), "utf8")).trim();
    if (/^db-\d+$/.test(name)) return name;
    throw new Fault({
      code: "FORMAT_INVALID",
      what: join(directory, ACTIVE),
      reason: "it names no database",
    });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return FIRST;
    throw error;
  }
}

async function writeActive(directory: string, name: string): Promise<void> {
  const temporary = join(directory, `${ACTIVE}.tmp`);
  const handle = await open(temporary, "w", 0o600);
  try {
    await handle.writeFile(`${name}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, join(directory, ACTIVE));
  await syncPath(directory);
}

/** Copies until no file came or went meanwhile: a compaction begun before the failure may still be ending. */
async function copyDatabase(from: string, to: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const before = await fingerprint(from);
      await mkdir(to, { mode: 0o700 });
      for (const name of await readdir(from)) await copyPart(join(from, name), join(to, name), name);
      if (before === (await fingerprint(from))) return;
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
    if (attempt === COPY_ATTEMPTS_MAX) {
      throw new Fault({ code: "DISK_FAILED", where: from, errno: "EAGAIN" });
    }
    await rm(to, { recursive: true, force: true });
    await new Promise((resolve) => setTimeout(resolve, COPY_PAUSE_MS));
  }
}

async function copyPart(from: string, to: string, name: string): Promise<void> {
  if (name === "LOCK" || name === "LOG" || name === "LOG.old") return;
  if (isTable(name)) {
    await link(from, to);
    return;
  }
  await copyFile(from, to, constants.COPYFILE_EXCL);
  await syncPath(to);
}

async function fingerprint(path: string): Promise<string> {
  const parts: string[] = [];
  for (const name of (await readdir(path)).sort()) {
    if (!name.startsWith("LO")) parts.push(`${name}:${(await stat(join(path, name))).size}`);
  }
  return parts.join(" ");
}

function isTable(name: string): boolean {
  return name.endsWith(".ldb") || name.endsWith(".sst");
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
