import { z } from "zod";
import { formatBytes } from "../../base/units.ts";
import type { DiffEntry, DiffResult } from "../../control/api.ts";
import { EXIT } from "../exit-codes.ts";
import { counted, pathForOutput, shortId } from "../text.ts";
import { narrowing, parseTarget, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { narrowLatest, noteMoment } from "./narrow-latest.ts";

const LETTERS: Readonly<Record<DiffEntry["change"], string>> = {
  added: "+",
  removed: "-",
  modified: "M",
  metadata: "U",
  type: "T",
};

export const diffCommand: AddCommand = (program, bind) => {
  const command = program
    .command("diff")
    .description(
      "what changed between two snapshots: + added, - removed, M other contents, U only metadata, T type",
    )
    .argument("<a[:path]>", "the older snapshot")
    .argument("<b[:path]>", "the newer snapshot");
  narrowLatest(command);
  bind(command, z.object(narrowing), [0, 1, 2, 5, 6, 10, 11, 130], async (session, given, args) => {
    const before = parseTarget(args[0], given, session.world);
    const after = parseTarget(args[1], given, session.world);
    noteMoment(session, given.at);
    const path = before.path ?? after.path;
    if (before.path !== undefined && after.path !== undefined && before.path !== after.path)
      throw usage("Both snapshots are compared at the same path: give it once.");
    const request = {
      before: before.selector,
      after: after.selector,
      ...(path === undefined ? {} : { path }),
    };
    const changes = session.daemon.diff(request, session.context);
    for (;;) {
      const next = await changes.next();
      if (next.done === true) {
        await session.result({ type: "summary", ...next.value }, () => diffText(next.value));
        return EXIT.done;
      }
      const change = next.value;
      if (session.json) await session.out.json(change);
      else
        await session.out.write(
          `${LETTERS[change.change]} `,
          pathForOutput(change, session.toTerminal),
          "\n",
        );
    }
  });
  return command;
};

function diffText(result: DiffResult): string {
  return (
    `${shortId(result.before)} to ${shortId(result.after)}: ${counted(result.added, "entry", "entries")} added ` +
    `(${formatBytes(result.bytesAdded)}), ${result.removed} removed (${formatBytes(result.bytesRemoved)}), ` +
    `${result.modified} modified, ${result.metadata} with other metadata\n`
  );
}
