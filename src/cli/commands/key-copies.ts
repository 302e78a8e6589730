import type { Command } from "commander";
import { z } from "zod";
import { EXIT } from "../exit-codes.ts";
import type { HomeKeyList, KeyCopy } from "../local-operations.ts";
import { readPassphrase } from "../passphrase.ts";
import { createSecretFile, readKeyText } from "../recovery-key.ts";
import type { Bind } from "../session.ts";
import { printable, shortId, shortTime, table } from "../text.ts";

export function addKeyList(group: Command, bind: Bind): void {
  const command = group
    .command("list")
    .description("the recovery key of this home and the copies of it that were made here; never a secret");
  bind(command, z.object({}), [0, 1, 2, 10], async (session) => {
    const { keysOfHome } = await session.world.localOperations();
    const keys = await keysOfHome(session.home);
    await session.result(keys, () => listText(keys));
    return EXIT.done;
  });
}

function listText({ recovery, passphrases, splits, ownerId, name }: HomeKeyList): string {
  const standing = ({ inForce }: KeyCopy): string => (inForce ? "" : "opens nothing: the key was replaced");
  const rows = [
    ["recovery key", shortId(recovery.recoveryId), shortTime(recovery.since), "24 words", ""],
    ...passphrases.map((copy) => [
      "passphrase",
      copy.id,
      shortTime(copy.time),
      printable(copy.label ?? "a file"),
      standing(copy),
    ]),
    ...splits.map((copy) => [
      "shares",
      copy.id,
      shortTime(copy.time),
      `any ${copy.threshold} of ${copy.shares}`,
      standing(copy),
    ]),
  ];
  const header = ["KIND", "ID", "SINCE (UTC)", "WHAT", "NOTE"];
  return `What opens repository ${shortId(ownerId)} of ${printable(name)}:\n${table(header, rows, [])}`;
}

const passphraseOptions = z.object({
  recoveryKey: z.string(),
  out: z.string(),
  passphraseFile: z.string().optional(),
  label: z.string().min(1).max(64).optional(),
});

export function addPassphrase(group: Command, bind: Bind): void {
  const command = group
    .command("add-passphrase")
    .description('write the recovery key to a file that a passphrase opens, for "recover --sealed-key"')
    .requiredOption("--out <file>", "the new file, to be kept away from this machine")
    .option("--recovery-key <file>", "the 24 words; - reads them from standard input", "-")
    .option("--passphrase-file <file>", "the passphrase is its first line; else it is asked for, twice")
    .option("--label <text>", "what the list calls it, such as where the file is kept");
  bind(command, passphraseOptions, [0, 1, 2, 6, 10, 12], async (session, given) => {
    const { label } = given;
    await using file = await createSecretFile(given.out, session.world);
    const text = await readKeyText(given.recoveryKey, session.world);
    const passphrase = await readPassphrase(given.passphraseFile, session.world, { again: true });
    const { sealKey } = await session.world.localOperations();
    const request = { home: session.home, text, passphrase };
    const made = await sealKey(label === undefined ? request : { ...request, label });
    const { sealed, ...shown } = made;
    await file.write(
      [
        `# cairn: recovery key of ${printable(made.name)}, sealed with a passphrase`,
        `# owner ${made.ownerId}`,
        `# swarm ${made.swarmId}`,
        "# cairn recover --sealed-key THIS-FILE --peer ADDRESS",
        sealed,
        "",
      ].join("\n"),
    );
    await session.result({ ...shown, file: file.path }, () =>
      [
        `The recovery key is in ${printable(file.path)}, sealed with the passphrase (${made.id} in "cairn key list").`,
        "File and passphrase together are worth the 24 words. Keep them apart, and both away from this machine.",
        "",
      ].join("\n"),
    );
    return EXIT.done;
  });
}
