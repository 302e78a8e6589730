import type { Command } from "commander";
import { z } from "zod";
import { must } from "../../base/assert.ts";
import { EXIT } from "../exit-codes.ts";
import { keySheetBasis } from "../key-sheet-basis.ts";
import { readShareTexts } from "../key-source.ts";
import {
  createKeyFile,
  createSecretFile,
  readKeyText,
  recoveryKeyBlock,
  type SecretFile,
} from "../recovery-key.ts";
import type { Bind, Session } from "../session.ts";
import { type ShareSheet, shareHtml, shareText } from "../share-sheet.ts";
import { counted, printable } from "../text.ts";
import { repeated, usage } from "../values.ts";
import { collect } from "./collect.ts";

const SHARES_MAX = 16;

const splitOptions = z.object({
  shares: z.string(),
  recoveryKey: z.string(),
  out: z.string().optional(),
  format: z.enum(["text", "html"]).default("text"),
});

/** `3-of-5`. */
function readSplit(given: string): { threshold: number; shares: number } {
  const match = /^(\d{1,2})(?:-of-|\/)(\d{1,2})$/.exec(given);
  const [threshold, shares] = [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
  if (threshold >= 2 && threshold <= shares && shares <= SHARES_MAX) return { threshold, shares };
  throw usage(
    `--shares "${printable(given)}": say K-of-N, such as 3-of-5, with K at least 2 and N at most ${SHARES_MAX}.`,
  );
}

export function addSplit(group: Command, bind: Bind): void {
  const command = group
    .command("split")
    .description("cut the recovery key into N shares: any K bring it back, fewer say nothing about it")
    .requiredOption("--shares <k-of-n>", "such as 3-of-5")
    .option("--recovery-key <file>", "the 24 words; - reads them from standard input", "-")
    .option(
      "--out <name>",
      "write new files NAME-1, NAME-2 ... that only this user can read; else they are printed",
    )
    .option("--format <format>", "text, which recover and combine read, or html, to be printed", "text");
  bind(command, splitOptions, [0, 1, 2, 6, 10, 12], async (session, given) => {
    const wanted = readSplit(given.shares);
    await using files = await shareFiles(session, given.out, wanted.shares);
    const text = await readKeyText(given.recoveryKey, session.world);
    const { splitKey } = await session.world.localOperations();
    const made = await splitKey({ home: session.home, text, ...wanted });
    const basis = await keySheetBasis(session);
    const sheets = made.shares.map(
      (words, i): ShareSheet => ({ ...basis, ...wanted, words, number: i + 1, splitId: made.id }),
    );
    const pages = sheets.map((sheet) => (given.format === "html" ? shareHtml([sheet]) : shareText(sheet)));
    for (const [i, file] of files.list.entries()) await file.write(must(pages[i], "page of a share"));
    const { shares: _, ...identity } = made;
    const shown = { ...identity, ...wanted };
    const paths = files.list.map(({ path }) => path);
    if (paths.length === 0) await session.result({ ...shown, pages }, () => pages.join("\n"));
    else
      await session.result({ ...shown, files: paths }, () =>
        [
          `${counted(wanted.shares, "share")} of the recovery key (split ${made.id} in "cairn key list"):`,
          ...paths.map((path) => `  ${printable(path)}`),
          `Any ${wanted.threshold} of them are worth the 24 words. Take them to different places, and remove them here.`,
          "",
        ].join("\n"),
      );
    return EXIT.done;
  });
}

interface ShareFiles extends AsyncDisposable {
  readonly list: readonly SecretFile[];
}

/** All of them before anything is split: half of the shares on disk would be half of a key. */
async function shareFiles(session: Session, name: string | undefined, shares: number): Promise<ShareFiles> {
  const list: SecretFile[] = [];
  const close = async (): Promise<void> => {
    for (const file of list) await file[Symbol.asyncDispose]();
  };
  try {
    if (name !== undefined)
      for (let i = 1; i <= shares; i++) list.push(await createSecretFile(`${name}-${i}`, session.world));
  } catch (error) {
    await close();
    throw error;
  }
  return { list, [Symbol.asyncDispose]: close };
}

const combineOptions = z.object({ out: z.string().optional(), shares: repeated });

export function addCombine(group: Command, bind: Bind): void {
  const command = group
    .command("combine")
    .description("the 24 words of a recovery key from enough of its shares; needs no home and no network")
    .option(
      "--shares <file>",
      "a file with one share or more; may be repeated (default: standard input)",
      collect,
    )
    .option(
      "--out <file>",
      "write the words to a new file that only this user can read, instead of showing them",
    );
  bind(command, combineOptions, [0, 1, 2, 12], async (session, { out, shares }) => {
    await using file = out === undefined ? undefined : await createKeyFile(out, session.world);
    const texts = await readShareTexts(shares.length === 0 ? ["-"] : shares, session);
    const { combineKey } = await session.world.localOperations();
    const words = await combineKey(texts);
    if (file === undefined) {
      await session.result({ words }, () => recoveryKeyBlock(words, "Recovery key:"));
      return EXIT.done;
    }
    await file.write(words);
    await session.result({ file: file.path }, () => `The recovery key is in ${printable(file.path)}.\n`);
    return EXIT.done;
  });
}
