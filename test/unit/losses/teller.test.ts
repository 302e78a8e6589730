import { expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { must } from "../../../src/base/assert.ts";
import type { PeerId, ShardId } from "../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { LossTeller } from "../../../src/losses/index.ts";
import { lostBody } from "../../../src/wire/losses.ts";
import { decodeSigned } from "../../../src/wire/signed.ts";
import { KEYS, LIFE, node, SWARM } from "../../support/repairs.ts";

const shardOf = (number: number): ShardId => ({ owner: KEYS.owner, incarnation: LIFE, number, index: 0 });

it("does not call lost what was put here again while it told somebody else", async () => {
  const [self, first, second] = [node(1), node(2), node(3)];
  const held = new Set<number>();
  const told: [PeerId, number[]][] = [];
  const aside = [1, 2].map((number) => ({
    ...{ id: shardOf(number), bytes: 1, note: new Uint8Array(0), reason: "", sinceMs: 5 },
  }));
  const teller = new LossTeller(
    {
      shards: {
        quarantined: async (after) => (after === undefined ? aside : []),
        stat: (id) =>
          held.has(id.number) ? { id, bytes: 1, version: "2", note: new Uint8Array(0) } : undefined,
      },
      kept: { slotsOfAnyClass: async () => [[self.peer, first.peer, second.peer]] } as never,
      client: {
        tellLost: async (peer, _, notice) => {
          const { shards } = lostBody.decode(decodeSigned(notice).body);
          told.push([peer, shards.map(([number]) => number)]);
          // Its owner mends one as soon as it hears of it.
          held.add(must(shards[0], "shard")[0]);
          return shards.length;
        },
      },
      network: { self: self.peer, connected: () => [first.peer, second.peer] },
      roster: { memberOfOwner: () => undefined },
      ...{ signer: self.key, clock: new VirtualClock(1000), log: SILENT_LOG },
    },
    { swarm: SWARM },
  );
  await teller.tell(new AbortController().signal);
  expect(told).toEqual([
    [first.peer, [1, 2]],
    [second.peer, [2]],
  ]);
});
