import { equalBytes } from "../base/bytes.ts";
import { isFault, messageOf } from "../base/fault.ts";
import { ownerIdOf, type ShardId, segmentKey } from "../base/ids.ts";
import type { Compute, ShardStore, StoredShard } from "../ports/index.ts";
import { type ShardNote, shardNote } from "../wire/data.ts";
import { type DescriptorBody, descriptorCodec } from "../wire/descriptor.ts";
import { decodeSigned } from "../wire/signed.ts";

/** `unreadable` alone may be the disk's fault rather than the shard's. */
export type BadKind = "wrong" | "truncated" | "missing" | "unreadable" | "trailer" | "note";

export type Verdict =
  | { readonly good: true }
  | { readonly good: false; readonly kind: BadKind; readonly reason: string };

export interface CheckComponents {
  readonly shards: Pick<ShardStore, "read" | "isSound">;
  readonly compute: Pick<Compute, "roots">;
}

const GOOD: Verdict = { good: true };

/** Reads a shard as it lies there and compares it with the root that its receipt promised. Never throws a fault. */
export async function checkShard(components: CheckComponents, shard: StoredShard): Promise<Verdict> {
  const { id } = shard;
  const expected = expectedOf(shard);
  if (expected === undefined) return bad("note", "what was kept beside it is not its own");
  const { note, descriptor } = expected;
  try {
    const bytes = await components.shards.read(id, 0, shard.bytes);
    if (bytes === undefined) return bad("missing", "its file is gone");
    if (bytes.length !== shard.bytes || bytes.length !== descriptor.shardBytes)
      return bad("truncated", `${bytes.length} of ${descriptor.shardBytes} bytes`);
    const [root] = await components.compute.roots([
      { index: id.index, bytes, leafBytes: descriptor.leafBytes },
    ]);
    if (root === undefined || !equalBytes(root, note.root))
      return bad("wrong", "its root is not the one it came with");
    if (!(await components.shards.isSound(id)))
      return bad("trailer", "what follows it in its file is damaged");
    return GOOD;
  } catch (error) {
    if (!isFault(error, "DISK_FAILED")) throw error;
    return bad("unreadable", messageOf(error));
  }
}

/** The signature was checked when the shard came in; here it is enough that note, descriptor and id belong together. */
function expectedOf({ id, note }: StoredShard): { note: ShardNote; descriptor: DescriptorBody } | undefined {
  try {
    const decoded = shardNote.decode(note);
    const signed = decodeSigned(decoded.descriptor);
    const descriptor = descriptorCodec.decode(signed.body);
    const segment = {
      owner: ownerIdOf(signed.signer),
      incarnation: signed.incarnation,
      number: signed.epoch,
    };
    const isOfShard = segmentKey(segment) === segmentKey(id) && isRootOf(descriptor, id, decoded.root);
    return isOfShard ? { note: decoded, descriptor } : undefined;
  } catch (error) {
    if (!isFault(error)) throw error;
    return undefined;
  }
}

function isRootOf({ roots }: DescriptorBody, { index }: ShardId, root: Uint8Array): boolean {
  const named = roots[index];
  return named !== undefined && equalBytes(named, root);
}

function bad(kind: BadKind, reason: string): Verdict {
  return { good: false, kind, reason };
}
