import type { Command } from "commander";
import { z } from "zod";
import type { RotateResult } from "../../control/rotation-api.ts";
import { EXIT } from "../exit-codes.ts";
import { addKeySource, keySourceOptions, readKeySource } from "../key-source.ts";
import { createKeyFile, recoveryKeyBlock } from "../recovery-key.ts";
import type { Bind, Session } from "../session.ts";
import { printable, shortId } from "../text.ts";
import { usage } from "../values.ts";

const options = z.object({ ...keySourceOptions, recoveryKeyOut: z.string().optional() });

export function addRotate(group: Command, bind: Bind): void {
  const command = addKeySource(
    group
      .command("rotate")
      .description(
        "replace the recovery key: new words, and the old ones let nobody in any more; takes the old ones",
      ),
  )
    .option("--recovery-key-out <file>", "write the new words to a new file instead of showing them")
    .addHelpText(
      "after",
      "\nWhoever has lost the words cannot replace them; a sealed file or shares of them do as well." +
        '\nWithout any of these: docs/operating.md, "Words that are lost".',
    );
  bind(command, options, [0, 1, 2, 5, 6, 10, 12], async (session, given) => {
    const { recoveryKeyOut } = given;
    if (session.json && recoveryKeyOut === undefined)
      throw usage("With --json, say where the new words go: --recovery-key-out FILE.");
    const text = (await readKeySource(session, given)).join(" ");
    const basis = await session.daemon.keyBasis({}, session.context);
    const { newRotation, keepNewSlot } = await session.world.localOperations();
    const made = await newRotation({ home: session.home, text, basis });
    const file = await handOver(session, recoveryKeyOut, made.words);
    const done = await session.daemon.keyRotate({ entry: made.entry }, session.context);
    await keepNewSlot(session.home, made.entry);
    await session.result(file === undefined ? done : { ...done, recoveryKeyFile: file }, () =>
      doneText(done),
    );
    return EXIT.done;
  });
}

/** Before the swarm hears of them: words in force that nobody has would be the end of the repository with its machine. */
async function handOver(
  session: Session,
  name: string | undefined,
  words: readonly string[],
): Promise<string | undefined> {
  if (name === undefined) {
    await session.out.write(
      recoveryKeyBlock(words, "New recovery key (shown once; not in force before this says so):"),
    );
    await session.out.flush();
    return undefined;
  }
  await using file = await createKeyFile(name, session.world);
  await file.write(words);
  session.note(`The new recovery key is in ${printable(file.path)}; it is not in force before this says so.`);
  return file.path;
}

function doneText({ recoveryId, oldRecoveryId, members, connected }: RotateResult): string {
  const away = members - connected;
  return [
    `The new recovery key ${shortId(recoveryId)} is in force; ${shortId(oldRecoveryId)} lets nobody in any more.`,
    `${connected} of ${members} other members are connected and hear of it now.`,
    ...(away === 0
      ? []
      : [
          `The ${away === 1 ? "one that is" : `${away} that are`} away would let the old words in until they hear of it.`,
        ]),
    "Who had the old words may have opened the repository before, and has its root then: see the threat model.",
    'Sealed files and shares of the old words are worth nothing now; "cairn key list" shows which.',
    "",
  ].join("\n");
}
