import { z } from "zod";
import type { ShardInfo } from "../../control/api.ts";
import { EXIT } from "../exit-codes.ts";
import { printable } from "../text.ts";
import { usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";

const options = z.object({ owner: z.string().optional(), quarantined: z.boolean().default(false) });

export const shardsCommand: AddCommand = (program, bind) => {
  const command = program
    .command("shards")
    .description("the shards held here for others, with the file and the range of it that each lies in")
    .option("--owner <id>", "of this owner alone: its id, or the beginning of it")
    .option("--quarantined", "those that were found to be bad and set aside");
  bind(command, options, [0, 1, 2, 5, 10, 130], async (session, given) => {
    const owner = given.owner?.toLowerCase();
    if (owner !== undefined && !/^[0-9a-f]{1,64}$/.test(owner))
      throw usage(`"${given.owner}" is not an owner's id: 64 hex digits, or the first of them.`);
    const request = { quarantined: given.quarantined, ...(owner === undefined ? {} : { owner }) };
    const shards = session.daemon.shards(request, session.context);
    for (;;) {
      const next = await shards.next();
      if (next.done === true) {
        if (session.json) await session.out.json({ type: "summary", ...next.value });
        return EXIT.done;
      }
      if (session.json) await session.out.json(next.value);
      else await session.out.write(shardLine(next.value));
    }
  });
  return command;
};

function shardLine({ ownerId, incarnation, number, index, bytes, file, offset, reason }: ShardInfo): string {
  const name = `${ownerId}/${incarnation}/${number}/${index}`;
  const place = file === undefined ? "" : `  ${printable(file)} from ${offset ?? 0}`;
  return `${name}  ${bytes} bytes${place}${reason === undefined ? "" : `  ${printable(reason)}`}\n`;
}
