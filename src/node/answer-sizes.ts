import type { OwnerId } from "../base/ids.ts";
import { KIB, MIB } from "../base/units.ts";
import type { Holder } from "../exchange/index.ts";
import { ANSWER_SMALL_BYTES, NET_HEAD_BYTES_MAX } from "../ports/index.ts";
import { AUDIT_BODY_BYTES_MAX } from "../wire/audit.ts";
import type { DataRequest } from "../wire/data.ts";
import { DESCRIPTOR_BYTES_MAX, SEGMENT_BYTES_MAX } from "../wire/descriptor.ts";
import { LIVE_LIST_BYTES_MAX } from "../wire/live-set.ts";
import { LOCKED_BYTES_MAX } from "../wire/lock.ts";
import { LISTED_SHARDS_MAX, REPAIR_MESSAGE_BYTES_MAX, REPAIR_RECORD_BYTES_MAX } from "../wire/repair.ts";

/** A number and an index of each shard, with what holds them together. */
const LISTED_BYTES_MAX = 16 * LISTED_SHARDS_MAX + ANSWER_SMALL_BYTES;
/** A shard's descriptor and, for a range, its proof. */
const SHARD_HEAD_BYTES_MAX = DESCRIPTOR_BYTES_MAX + ANSWER_SMALL_BYTES;
/** The signed statement about the leaves, and their proofs. */
const AUDIT_HEAD_BYTES_MAX = 256 * KIB;

/**
 * How large the answer to a request of protocol `data` can get, for room to be made before it is: a shard is read whole,
 * whatever part of it is asked for. Receipts and the like are small.
 */
export function answerBytesMax(
  holder: Pick<Holder, "shardBytes">,
  asOwner: OwnerId,
  request: DataRequest,
): number {
  switch (request.t) {
    case "get":
      return request.owner === asOwner ? holder.shardBytes(request) + SHARD_HEAD_BYTES_MAX : 0;
    case "repair-get":
      return SEGMENT_BYTES_MAX + SHARD_HEAD_BYTES_MAX;
    case "audit":
      return AUDIT_BODY_BYTES_MAX + AUDIT_HEAD_BYTES_MAX;
    case "records":
      return request.owner === asOwner ? NET_HEAD_BYTES_MAX : 0;
    case "repairs":
      return REPAIR_MESSAGE_BYTES_MAX + REPAIR_RECORD_BYTES_MAX + MIB;
    case "live-get":
      return request.owner === asOwner ? LIVE_LIST_BYTES_MAX + ANSWER_SMALL_BYTES : 0;
    case "live-set":
    case "lock":
      return LOCKED_BYTES_MAX + ANSWER_SMALL_BYTES;
    case "repair-list":
      return LISTED_BYTES_MAX;
    case "put":
    case "have":
    case "keep":
    case "lost":
    case "promise":
    case "repair-put":
    case "repaired":
      return 0;
  }
}
