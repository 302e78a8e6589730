import { fromBase64Url, fromHex, toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { peerIdOf, swarmIdOf } from "../base/ids.ts";
import { checkTrail, readTrailEntry } from "../node/index.ts";
import type { TrailFileReport } from "./local-operations.ts";

const HEADER = /^cairn-trail1 ([0-9a-f]{64}) ([0-9a-f]{64})$/;
/** As many entries as are ever kept, and some. */
const LINES_MAX = 100_000;

/** Checks what `cairn log --export` wrote, with nothing but the file. Throws `FORMAT_INVALID` for anything else. */
export async function checkTrailFile(text: string): Promise<TrailFileReport> {
  const [first = "", ...lines] = text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#"));
  const [, swarmHex = "", ownerId = ""] = HEADER.exec(first) ?? [];
  const swarmBytes = fromHex(swarmHex);
  if (ownerId === "" || swarmBytes === undefined || lines.length > LINES_MAX)
    throw invalid("it does not begin as one");
  const swarm = swarmIdOf(swarmBytes);
  const given = lines.map((line, i) => {
    const bytes = fromBase64Url(line);
    if (bytes === undefined) throw invalid(`line ${i + 2} is no entry`);
    return bytes;
  });
  // The first one says where the file begins; the others follow from it.
  const [head] = given;
  const from = head === undefined ? 1 : readTrailEntry(head, swarm).sequence;
  const { entries, problems } = checkTrail(
    given.map((bytes, i) => ({ sequence: from + i, bytes })),
    { swarm },
  );
  const last = entries.at(-1);
  return {
    swarmId: swarm,
    ownerId,
    entries: entries.length,
    from,
    nodes: [...new Set(entries.map(({ node }) => peerIdOf(node)))],
    ...(last === undefined ? {} : { last: { sequence: last.sequence, hash: toHex(last.hash) } }),
    problems: [...problems],
  };
}

function invalid(reason: string): Fault {
  return new Fault({ code: "FORMAT_INVALID", what: "exported trail", reason });
}
