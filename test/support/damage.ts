import { renameSync, truncateSync, unlinkSync } from "node:fs";
import { expect } from "vitest";
import { must } from "../../src/base/assert.ts";
import { type ShardInfo, shardInfo } from "../../src/control/scrub-api.ts";
import type { TestNode } from "./daemons.ts";
import { flipByte } from "./shard-files.ts";

/** What a node holds, by its own word: `cairn shards`, which says where each lies. */
export async function shardsOf(node: TestNode, ...args: readonly string[]): Promise<ShardInfo[]> {
  const ran = await node.cli("shards", "--json", ...args);
  expect(ran.status).toBe(0);
  const lines = ran.stdout.trimEnd().split("\n");
  const summary: unknown = JSON.parse(must(lines.pop(), "summary"));
  expect(summary).toMatchObject({ type: "summary", shards: lines.length });
  return lines.map((line) => shardInfo.parse(JSON.parse(line)));
}

export const nameOf = ({ ownerId, number, index }: ShardInfo): string =>
  `${ownerId.slice(0, 8)}/${number}#${index}`;
export const segmentOf = ({ ownerId, number }: ShardInfo): string => `${ownerId}/${number}`;

/**
 * Flips a byte of so many shards, cuts as many, deletes as many, and exchanges the files of two of one length; one after the
 * other where there are not enough. Says which.
 */
export function damage(shards: readonly ShardInfo[], ofEach = 1): ShardInfo[] {
  return damageFiles(shards, ofEach);
}

/** Where a shard lies. */
type InFile = Pick<ShardInfo, "file" | "offset" | "bytes">;

/** The same for files that no daemon told of. */
export function damageFiles<S extends InFile>(shards: readonly S[], ofEach = 1): S[] {
  const twins = [...Map.groupBy(shards, ({ bytes }) => bytes).values()].find((same) => same.length > 1) ?? [];
  const pair = twins.slice(0, 2);
  const rest = shards.filter((shard) => !pair.includes(shard)).slice(0, 3 * ofEach);
  rest.forEach((shard, at) => {
    const file = fileOf(shard);
    if (at % 3 === 0) flipByte(file, (shard.offset ?? 0) + shard.bytes - 1);
    else if (at % 3 === 1) truncateSync(file, shard.bytes - 1);
    else unlinkSync(file);
  });
  const [one, other] = pair;
  if (one !== undefined && other !== undefined) exchange(fileOf(one), fileOf(other));
  return [...rest, ...(other === undefined ? [] : pair)];
}

function exchange(a: string, b: string): void {
  renameSync(a, `${a}.x`);
  renameSync(b, a);
  renameSync(`${a}.x`, b);
}

const fileOf = (shard: InFile): string => must(shard.file, "file of a shard");
