import { constants } from "node:fs";
import { type FileHandle, open, readFile, rm } from "node:fs/promises";
import { Fault } from "../base/fault.ts";
import { displayPath, pathBytes } from "../base/paths.ts";
import { localPath, usage } from "./values.ts";
import type { World } from "./world.ts";

const WORDS = 24;
const COLUMNS = 4;
/** Far more than 24 words with numbers and comments. */
const KEY_FILE_BYTES_MAX = 64 * 1024;

/** Six rows of four, numbered, to be written down by hand. Read along the rows. */
export function recoveryKeyBlock(
  words: readonly string[],
  title = "Recovery key (shown once, kept nowhere):",
): string {
  const cells = words.map((word, i) => `${String(i + 1).padStart(2)}. ${word.padEnd(10)}`);
  const rows: string[] = [title, ""];
  for (let i = 0; i < cells.length; i += COLUMNS)
    rows.push(
      `  ${cells
        .slice(i, i + COLUMNS)
        .join("")
        .trimEnd()}`,
    );
  return `${rows.join("\n")}\n`;
}

export function wordsOf(text: string): string[] {
  const lines = text.toLowerCase().replace(/^\s*#.*$/gm, " ");
  return lines.match(/[a-z]+/g) ?? [];
}

/** The words of text as people keep it: numbers, line breaks and capitals do not matter. */
export function parseRecoveryKey(text: string): string[] {
  const words = wordsOf(text);
  if (words.length !== WORDS) throw new Fault({ code: "WRONG_KEY", what: "recovery key" });
  return words;
}

/** From a file, or from standard input for `-`. WRONG_KEY when there are not 24 words in it. */
export async function readRecoveryKey(source: string, world: World): Promise<string[]> {
  return parseRecoveryKey(await readKeyText(source, world));
}

/** What was written down, as it is. */
export async function readKeyText(
  source: string,
  world: World,
  prompt = "Recovery key (24 words, then Ctrl-D): ",
): Promise<string> {
  if (source !== "-") {
    const path = localPath(source, world);
    const text = await readFile(pathBytes(path), "utf8").catch((error: Error) => {
      throw usage(`The recovery key cannot be read: ${error.message}.`);
    });
    return text.slice(0, KEY_FILE_BYTES_MAX);
  }
  if (world.stdin.isTTY === true) world.stderr.write(prompt);
  let text = "";
  for await (const chunk of world.stdin) {
    text += String(chunk);
    if (text.length > KEY_FILE_BYTES_MAX) break;
  }
  return text;
}

export interface SecretFile extends AsyncDisposable {
  readonly path: string;
  /** Synced to disk when it resolves. */
  write(text: string): Promise<void>;
}

export interface KeyFile extends AsyncDisposable {
  readonly path: string;
  /** Synced to disk when it resolves. */
  write(words: readonly string[]): Promise<void>;
}

export async function createKeyFile(name: string, world: World): Promise<KeyFile> {
  const file = await createSecretFile(name, world);
  return {
    path: file.path,
    write: (words) => file.write(`${words.join(" ")}\n`),
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  };
}

/** A new file that only this user can read, or an empty one that an earlier run left. USAGE when there is another; gone again if nothing is written. */
export async function createSecretFile(name: string, world: World): Promise<SecretFile> {
  const path = pathBytes(localPath(name, world));
  const shown = displayPath(localPath(name, world));
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "wx", 0o600);
  } catch (error) {
    const exists = error instanceof Error && "code" in error && error.code === "EEXIST";
    const message = error instanceof Error ? error.message : String(error);
    if (exists) handle = await openEmpty(path);
    if (handle === undefined)
      throw usage(exists ? `"${shown}" exists already; choose another file.` : `${message}.`);
  }
  let written = false;
  return {
    path: shown,
    async write(text) {
      await handle.writeFile(text);
      await handle.sync();
      written = true;
    },
    async [Symbol.asyncDispose]() {
      await handle.close();
      if (!written) await rm(path, { force: true });
    },
  };
}

/** What nobody else can read or has another name for, and has nothing in it: a run was killed before it had. */
async function openEmpty(path: Buffer): Promise<FileHandle | undefined> {
  const handle = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW).catch(() => undefined);
  const stat = await handle?.stat();
  const isOurs = stat?.isFile() === true && stat.size === 0 && stat.nlink === 1 && (stat.mode & 0o077) === 0;
  if (isOurs && stat.uid === process.geteuid?.()) return handle;
  await handle?.close();
  return undefined;
}
