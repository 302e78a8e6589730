import type { Command } from "commander";
import { z } from "zod";
import { must } from "../../base/assert.ts";
import { EXIT } from "../exit-codes.ts";
import { readPassphrase, readSecretFile } from "../passphrase.ts";
import { createSecretFile } from "../recovery-key.ts";
import type { Bind } from "../session.ts";
import { printable } from "../text.ts";

const exportOptions = z.object({ out: z.string().optional(), passphraseFile: z.string().optional() });

export function addExport(group: Command, bind: Bind): void {
  const command = group
    .command("export")
    .description("this node's administrator's key, sealed with a passphrase")
    .option("--out <file>", "a new file for it; else it is printed")
    .option("--passphrase-file <file>", "the passphrase is its first line; else it is asked for");
  bind(command, exportOptions, [0, 1, 2, 5, 6, 10], async (session, { out, passphraseFile }) => {
    const own = await session.daemon.adminKey({}, session.context);
    await using file = out === undefined ? undefined : await createSecretFile(out, session.world);
    const passphrase = await readPassphrase(passphraseFile, session.world, { again: true });
    const { exportAdministratorKey } = await session.world.localOperations();
    const text = await exportAdministratorKey({ home: session.home, key: own.key, passphrase });
    await file?.write(`${text}\n`);
    const where = file === undefined ? { exported: text } : { file: file.path };
    await session.result({ key: own.key, ...where }, () =>
      file === undefined ? `${text}\n` : `The key ${own.key} is in ${printable(file.path)}.\n`,
    );
    return EXIT.done;
  });
}

const importOptions = z.object({ passphraseFile: z.string().optional() });

export function addImport(group: Command, bind: Bind): void {
  const command = group
    .command("import")
    .argument("<file>", "what export wrote")
    .description("give this node that administrator's key; its daemon must not be running")
    .option("--passphrase-file <file>", "the passphrase is its first line; else it is asked for");
  bind(command, importOptions, [0, 1, 2, 6, 10, 12], async (session, { passphraseFile }, args) => {
    const text = await readSecretFile(must(args[0], "file"), session.world);
    const passphrase = await readPassphrase(passphraseFile, session.world, { again: false });
    const { importAdministratorKey } = await session.world.localOperations();
    const result = await importAdministratorKey({ home: session.home, text, passphrase });
    await session.result(
      result,
      () => `This node has the administrator's key ${result.key}. Start it with "cairn daemon".\n`,
    );
    return EXIT.done;
  });
}
