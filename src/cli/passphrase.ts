import { readFile } from "node:fs/promises";
import { Fault } from "../base/fault.ts";
import { pathBytes } from "../base/paths.ts";
import { localPath, usage } from "./values.ts";
import type { World } from "./world.ts";

const CHARACTERS_MAX = 1024;
/** Far more than any secret with comments. */
const FILE_CHARACTERS_MAX = 64 * 1024;
/** Ctrl-D and Ctrl-C as a terminal in raw mode gives them. */
const END_OF_INPUT = "\u0004";
const INTERRUPT = "\u0003";

/**
 * From the first line of a file, or typed on a terminal without being shown; twice with `again`, where a slip of the
 * finger would make something that nobody opens any more.
 */
export async function readPassphrase(
  file: string | undefined,
  world: World,
  { again }: { again: boolean },
): Promise<string> {
  const passphrase = file === undefined ? await typed(world, again) : await fromFile(file, world);
  if (passphrase === "") throw usage("The passphrase must not be empty.");
  if (passphrase.length > CHARACTERS_MAX)
    throw usage(`A passphrase has at most ${CHARACTERS_MAX} characters.`);
  return passphrase;
}

async function fromFile(file: string, world: World): Promise<string> {
  return (await readSecretFile(file, world)).split(/\r?\n/, 1)[0] ?? "";
}

export async function readSecretFile(
  name: string,
  world: World,
  charactersMax = FILE_CHARACTERS_MAX,
): Promise<string> {
  const text = await readFile(pathBytes(localPath(name, world)), "utf8").catch((error: Error) => {
    throw usage(`The file cannot be read: ${error.message}.`);
  });
  return text.slice(0, charactersMax);
}

async function typed(world: World, again: boolean): Promise<string> {
  if (world.stdin.isTTY !== true)
    throw usage("There is no terminal to type a passphrase on: give --passphrase-file FILE.");
  const lines = await hiddenLines(world, again ? ["Passphrase: ", "Once more: "] : ["Passphrase: "]);
  const [first = ""] = lines;
  if (lines.some((line) => line !== first)) throw usage("These were two different passphrases.");
  return first;
}

/** A line for each prompt. In raw mode keys come as they are pressed, Ctrl-C and Backspace too. */
function hiddenLines({ stdin, stderr }: World, prompts: readonly string[]): Promise<string[]> {
  const { promise, resolve, reject } = Promise.withResolvers<string[]>();
  const lines: string[] = [];
  let line = "";
  const endLine = (): void => {
    lines.push(line);
    line = "";
    stderr.write(`\n${prompts[lines.length] ?? ""}`);
    if (lines.length === prompts.length) resolve(lines);
  };
  const onKey = (key: string): void => {
    if (key === "\r" || key === "\n" || key === END_OF_INPUT) endLine();
    else if (key === INTERRUPT) reject(new Fault({ code: "INTERRUPTED" }));
    else if (key === "\u007f" || key === "\b") line = [...line].slice(0, -1).join("");
    else line += key;
  };
  const onData = (chunk: unknown): void => {
    for (const key of String(chunk)) if (lines.length < prompts.length) onKey(key);
  };
  const onEnd = (): void => {
    while (lines.length < prompts.length) endLine();
  };
  stderr.write(prompts[0] ?? "");
  stdin.setRawMode?.(true);
  stdin.on("data", onData).on("end", onEnd).resume();
  return promise.finally(() => {
    stdin.off("data", onData).off("end", onEnd).pause();
    stdin.setRawMode?.(false);
  });
}
