import { createHash } from "node:crypto";
import { lstat, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { utf8 } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";

/*
 * The kernel takes socket paths of at most 107 bytes. A longer home gets its socket in a folder named after
 * the home's hash under the user's runtime directory, and says where in a file of its own.
 */
const SOCKET_PATH_BYTES_MAX = 100;
const SOCKET_NAME = "control.sock";
const POINTER_NAME = "control.path";

/** Where a client connects: what the home says, else `control.sock` in it. */
export async function findSocket(home: string): Promise<string> {
  const pointer = await readFile(join(home, POINTER_NAME), "utf8").catch(() => "");
  return pointer.trim() === "" ? join(home, SOCKET_NAME) : pointer.trim();
}

/**
 * Where the daemon listens. Makes the folder if it is not the home, and removes a socket that a killed daemon
 * left behind: only the holder of the home's lock may call this.
 */
export async function prepareSocket(home: string, environment: NodeJS.ProcessEnv): Promise<string> {
  const inHome = join(home, SOCKET_NAME);
  const pointer = join(home, POINTER_NAME);
  if (utf8(inHome).length <= SOCKET_PATH_BYTES_MAX) {
    await rm(pointer, { force: true });
    await removeStale(inHome);
    return inHome;
  }
  const hash = createHash("sha256").update(home).digest("hex").slice(0, 16);
  const path = join(runtimeDirectory(environment), `cairn-${hash}`, SOCKET_NAME);
  await makePrivateDirectory(dirname(path));
  await removeStale(path);
  await writeFile(pointer, `${path}\n`, { mode: 0o600 });
  return path;
}

/** After a clean stop nothing is left to be found. */
export async function removeSocket(home: string, path: string): Promise<void> {
  await rm(path, { force: true });
  if (dirname(path) === home) return;
  await rm(dirname(path), { recursive: true, force: true });
  await rm(join(home, POINTER_NAME), { force: true });
}

function runtimeDirectory(environment: NodeJS.ProcessEnv): string {
  const own = environment["XDG_RUNTIME_DIR"];
  if (own?.startsWith("/") && utf8(own).length <= 60) return own;
  return process.getuid?.() === 0 ? "/run" : tmpdir();
}

/** In /tmp anybody may have made it first: then it is not ours, and nothing is put into it. */
async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST")
      throw new Fault({ code: "DISK_FAILED", where: path, errno: `${error.code}` });
  });
  const stat = await lstat(path);
  if (stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o077) === 0) return;
  throw new Fault({
    code: "NOT_ALLOWED",
    reason: `${path} must be a directory of this user with mode 0700, and is not; remove it`,
  });
}

async function removeStale(path: string): Promise<void> {
  const stat = await lstat(path).catch(() => undefined);
  if (stat?.isSocket()) await rm(path);
}
