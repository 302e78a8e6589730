import type { Command } from "commander";
import { z } from "zod";
import { EXIT } from "../exit-codes.ts";
import { type Sheet, sheetText, withoutMembers } from "../key-sheet.ts";
import { keySheetBasis } from "../key-sheet-basis.ts";
import { sheetHtml } from "../key-sheet-html.ts";
import { createSecretFile, readKeyText, wordsOf } from "../recovery-key.ts";
import type { Bind, Session } from "../session.ts";
import { printable, shortId } from "../text.ts";
import type { AddCommand } from "./add-command.ts";
import { addKeyList, addPassphrase } from "./key-copies.ts";
import { addRotate } from "./key-rotate.ts";
import { addCombine, addSplit } from "./key-shares.ts";

export const keyCommand: AddCommand = (program, bind) => {
  const group = program.command("key").description("the recovery key of this home, in people's hands");
  addCheck(group, bind);
  addSheet(group, bind);
  addKeyList(group, bind);
  addPassphrase(group, bind);
  addSplit(group, bind);
  addCombine(group, bind);
  addRotate(group, bind);
  return group;
};

function addCheck(group: Command, bind: Bind): void {
  const command = group
    .command("check")
    .description(
      "whether these words open this home's repository; changes nothing, and needs no daemon or network",
    )
    .option("--recovery-key <file>", "the 24 words; - reads them from standard input", "-");
  bind(command, z.object({ recoveryKey: z.string() }), [0, 1, 2, 10, 12], async (session, given) => {
    const { checkKey } = await session.world.localOperations();
    const text = await readKeyText(given.recoveryKey, session.world);
    const identity = await checkKey({ home: session.home, text });
    await session.result(
      { opens: true, ...identity },
      () => `Yes: these words open repository ${shortId(identity.ownerId)} of ${printable(identity.name)}.\n`,
    );
    return EXIT.done;
  });
}

const sheetOptions = z.object({
  recoveryKey: z.string().optional(),
  out: z.string().optional(),
  format: z.enum(["text", "html"]).optional(),
});

function addSheet(group: Command, bind: Bind): void {
  const command = group
    .command("sheet")
    .description("a page to print: who this is, whom to ask, how to recover, and the words or room for them")
    .option("--recovery-key <file>", "print these words too (they are checked first); - reads standard input")
    .option("--out <file>", "write a new file that only this user can read, instead of standard output")
    .option("--format <format>", "text or html (default: by the name of the file, else text)");
  bind(command, sheetOptions, [0, 1, 2, 10, 12], async (session, given) => {
    const sheet = await makeSheet(session, given.recoveryKey);
    const format = given.format ?? (/\.html?$/i.test(given.out ?? "") ? "html" : "text");
    const page = format === "html" ? sheetHtml(sheet) : sheetText(sheet);
    const { identity, members, words } = sheet;
    if (members.length === 0)
      session.note(`Warning: there is no address on this sheet: ${withoutMembers(sheet)}`);
    const shown = { ...identity, members, withWords: words !== undefined, format };
    if (given.out === undefined) {
      await session.result({ ...shown, page }, () => page);
      return EXIT.done;
    }
    await using file = await createSecretFile(given.out, session.world);
    await file.write(page);
    await session.result({ ...shown, file: file.path }, () => `The sheet is in ${printable(file.path)}.\n`);
    return EXIT.done;
  });
}

async function makeSheet(session: Session, key: string | undefined): Promise<Sheet> {
  const basis = await keySheetBasis(session);
  if (key === undefined) return basis;
  const { checkKey } = await session.world.localOperations();
  const text = await readKeyText(key, session.world);
  // A sheet with a word wrong would be found out on the worst day.
  await checkKey({ home: session.home, text });
  return { ...basis, words: wordsOf(text) };
}
