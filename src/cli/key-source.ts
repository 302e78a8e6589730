import type { Command } from "commander";
import { z } from "zod";
import { collect } from "./commands/collect.ts";
import { readPassphrase, readSecretFile } from "./passphrase.ts";
import { readKeyText, readRecoveryKey } from "./recovery-key.ts";
import type { Session } from "./session.ts";
import { repeated, usage } from "./values.ts";

export const keySourceOptions = {
  recoveryKey: z.string().optional(),
  sealedKey: z.string().optional(),
  passphraseFile: z.string().optional(),
  shares: repeated,
};
const schema = z.object(keySourceOptions);
type KeySource = z.output<typeof schema>;

/** The three ways in which people keep a recovery key. */
export function addKeySource(command: Command): Command {
  return command
    .option("--recovery-key <file>", "the 24 words; - reads them from standard input")
    .option("--sealed-key <file>", 'or what "cairn key add-passphrase" wrote')
    .option("--passphrase-file <file>", "its passphrase is the first line; else it is asked for")
    .option("--shares <file>", 'or enough shares of "cairn key split"; may be repeated', collect);
}

/** The 24 words, from exactly one of them. */
export async function readKeySource(session: Session, given: KeySource): Promise<readonly string[]> {
  const { recoveryKey, sealedKey, passphraseFile, shares } = given;
  const ways = [recoveryKey !== undefined, sealedKey !== undefined, shares.length > 0];
  if (ways.filter((isGiven) => isGiven).length !== 1)
    throw usage("Give the recovery key in one way: --recovery-key, --sealed-key or --shares.");
  if (passphraseFile !== undefined && sealedKey === undefined)
    throw usage("--passphrase-file is for --sealed-key.");
  const { world } = session;
  if (recoveryKey !== undefined) return readRecoveryKey(recoveryKey, world);
  const { unsealKey, combineKey } = await world.localOperations();
  if (sealedKey === undefined) return combineKey(await readShareTexts(shares, session));
  const text = await readSecretFile(sealedKey, world);
  const passphrase = await readPassphrase(passphraseFile, world, { again: false });
  return unsealKey({ text, passphrase });
}

export async function readShareTexts(files: readonly string[], { world }: Session): Promise<string[]> {
  const texts: string[] = [];
  for (const file of files) {
    if (file === "-" && world.stdin.isTTY === true)
      world.stderr.write("Shares, one after the other, then Ctrl-D:\n");
    texts.push(file === "-" ? await readKeyText(file, world, "") : await readSecretFile(file, world));
  }
  return texts;
}
