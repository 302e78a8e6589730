import { toBase64Url, toHex } from "../base/bytes.ts";
import { peerIdOf } from "../base/ids.ts";
import { type Node, readTrail } from "../node/index.ts";
import type { CommandContext } from "./api.ts";
import { iso } from "./node-json.ts";
import type { LogRequest, LogResult } from "./trail-api.ts";

export async function logHandler(
  node: Node,
  request: LogRequest,
  context: CommandContext,
): Promise<LogResult> {
  const { repository, roster } = node;
  const log = await readTrail({ ...repository.trailParts(), roster }, context.signal);
  const names = new Map(
    roster.certificatesOf(repository.catalog.owner).map(({ body }) => [body.peer, body.name]),
  );
  const shown = request.limit === undefined ? log.entries : log.entries.slice(-Math.max(1, request.limit));
  return {
    swarmId: roster.swarm,
    ownerId: repository.catalog.owner,
    entries: shown.map(({ sequence, incarnation, node: key, body, hash, bytes }) => {
      const peer = peerIdOf(key);
      const name = names.get(peer);
      return {
        sequence,
        time: iso(body.timeMs),
        what: body.what,
        details: Object.fromEntries(body.details),
        peerId: peer,
        ...(name === undefined ? {} : { name }),
        incarnation,
        hash: toHex(hash),
        ...(request.signed ? { signed: toBase64Url(bytes) } : {}),
      };
    }),
    total: log.entries.length,
    problems: [...log.problems],
    missing: log.gaps.map(({ from, entries, why }) => ({ from, entries, reason: why })),
    spreadTo: log.spreadTo,
  };
}
