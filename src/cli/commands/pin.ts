import { z } from "zod";
import { EXIT } from "../exit-codes.ts";
import { shortId, shortTime } from "../text.ts";
import { narrowing, parseTarget, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { narrowLatest, noteMoment } from "./narrow-latest.ts";

export const pinCommand: AddCommand = (program, bind) =>
  pinning(program, bind, "pin", "keep a snapshot, whatever retention says", true);

export const unpinCommand: AddCommand = (program, bind) =>
  pinning(program, bind, "unpin", "leave a snapshot to retention again", false);

function pinning(
  program: Parameters<AddCommand>[0],
  bind: Parameters<AddCommand>[1],
  name: string,
  description: string,
  pinned: boolean,
): ReturnType<AddCommand> {
  const command = program
    .command(name)
    .description(`${description}; waits for a snapshot that is under way`)
    .argument("[snapshot]", "an id, the beginning of one, or latest");
  narrowLatest(command);
  bind(command, z.object(narrowing), [0, 1, 2, 5, 6, 10], async (session, given, args) => {
    const { selector, path } = parseTarget(args[0], given, session.world);
    if (path !== undefined && path !== given.source?.path)
      throw usage("A snapshot is pinned as a whole: leave the path out.");
    noteMoment(session, given.at);
    const result = await session.daemon.pin({ ...selector, pinned }, session.context);
    await session.result(result, () => {
      const what = `snapshot ${shortId(result.snapshotId)} of ${shortTime(result.time)} UTC`;
      return `${what} is ${result.pinned ? "pinned" : "not pinned"}; other machines have it with the next snapshot\n`;
    });
    return EXIT.done;
  });
  return command;
}
