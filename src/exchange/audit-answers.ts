import { concatBytes, equalBytes, toHex } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import { Fault } from "../base/fault.ts";
import { type ShardId, type SwarmId, shardKey } from "../base/ids.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../crypto/signed.ts";
import { buildTree, type MerkleTree, proveRange } from "../erasure/index.ts";
import type { Clock, NetMessage, ShardStore } from "../ports/index.ts";
import {
  AUDIT_BODY_BYTES_MAX,
  type AuditFound,
  type AuditStatement,
  auditAnswerHash,
  auditStatement,
  leafLength,
} from "../wire/audit.ts";
import { type AuditRequest, dataAnswer, shardNote } from "../wire/data.ts";
import { readDescriptor } from "../wire/descriptor.ts";
import { encodeSigned } from "../wire/signed.ts";
import type { Unwanted } from "./holder.ts";

/** Each reads and hashes whole shards, one at a time. */
const AT_ONCE = 2;

/** Throws `DISK_FAILED` where the disk with the shards is not there. */
interface DiskPresence {
  requirePresent(): Promise<void>;
}

interface OpenShard {
  readonly bytes: Uint8Array;
  readonly tree: MerkleTree;
}

/**
 * A holder's side of audits. It reads the whole shard and signs an answer only for bytes that have the root which was
 * asked for: a disk that altered them makes it say that it does not have the shard, never something that is wrong. While
 * the disk is not there it says nothing at all.
 */
export class AuditAnswers {
  readonly #shards: Pick<ShardStore, "stat" | "read" | "isSetAside">;
  readonly #onBad: (shard: ShardId) => void;
  readonly #isElsewhere: (shard: ShardId) => Promise<boolean>;
  readonly #unwanted: Pick<Unwanted, "isTrash" | "isGivenUp"> | undefined;
  readonly #disk: DiskPresence;
  readonly #clock: Pick<Clock, "wallMs">;
  readonly #signer: Signer;
  readonly #swarm: SwarmId;
  readonly #gate = new Semaphore(AT_ONCE);

  constructor(
    components: {
      shards: Pick<ShardStore, "stat" | "read" | "isSetAside">;
      disk: DiskPresence;
      clock: Pick<Clock, "wallMs">;
      signer: Signer;
      /** Called with what is listed and is not as it should be. */
      onBad?: (shard: ShardId) => void;
      /** What is looked for elsewhere may have been dropped here, and no receipt of old is broken by that. */
      isElsewhere?: (shard: ShardId) => Promise<boolean>;
      /** What its owner has given up is not held, and no receipt is broken by that either. */
      unwanted?: Pick<Unwanted, "isTrash" | "isGivenUp">;
    },
    init: { swarm: SwarmId },
  ) {
    this.#shards = components.shards;
    this.#onBad = components.onBad ?? (() => {});
    this.#isElsewhere = components.isElsewhere ?? (async () => false);
    this.#unwanted = components.unwanted;
    this.#disk = components.disk;
    this.#clock = components.clock;
    this.#signer = components.signer;
    this.#swarm = init.swarm;
  }

  /** `FORMAT_INVALID`, and nothing signed, where a shard has no such leaf or the answer would be too long. */
  async answer(request: AuditRequest): Promise<NetMessage> {
    return this.#gate.run(() => this.#answer(request));
  }

  async #answer({ owner, nonce, challenges }: AuditRequest): Promise<NetMessage> {
    const items: AuditStatement["items"] = [];
    const proofs: Uint8Array[][] = [];
    const leaves: Uint8Array[] = [];
    let bytes = 0;
    let last: { readonly key: string; readonly shard: OpenShard | undefined } | undefined;
    for (const asked of challenges) {
      const { incarnation, number, index } = asked;
      const id: ShardId = { owner, incarnation, number, index };
      const key = `${shardKey(id)}/${toHex(asked.root)}`;
      // Auditors ask for the leaves of one shard one after the other.
      if (last?.key !== key) last = { key, shard: await this.#open(id, asked.root) };
      if (last.shard === undefined) {
        const isTold =
          this.#shards.isSetAside(id) ||
          this.#unwanted?.isGivenUp(id) === true ||
          (await this.#isElsewhere(id));
        items.push({ asked, found: null, ...(isTold ? { told: true as const } : {}) });
        continue;
      }
      const { found, leaf, proof } = prove(last.shard, asked.leaf);
      bytes += leaf.length;
      if (bytes > AUDIT_BODY_BYTES_MAX) throw invalid("the leaves are more than one answer holds");
      items.push({ asked, found });
      proofs.push(proof);
      leaves.push(leaf);
    }
    // A disk that was unplugged has lost nothing: the request is reset, and asked again when it is back.
    if (items.some(({ found }) => found === null)) await this.#disk.requirePresent();
    const statement = this.#sign({ v: 1, owner, nonce, timeMs: this.#clock.wallMs(), items });
    return {
      head: dataAnswer.encode({ t: "audit", v: 1, statement, proofs }),
      body: concatBytes(...leaves),
    };
  }

  async #open(id: ShardId, root: Uint8Array): Promise<OpenShard | undefined> {
    const held = this.#shards.stat(id);
    if (held === undefined || this.#unwanted?.isTrash(id) === true) return undefined;
    const note = shardNote.decode(held.note);
    if (!equalBytes(note.root, root)) return undefined;
    const { shardBytes, leafBytes } = readDescriptor(note.descriptor, this.#swarm);
    const bytes = await this.#shards.read(id, 0, shardBytes);
    const tree = bytes?.length === shardBytes ? buildTree(bytes, id.index, leafBytes) : undefined;
    if (bytes !== undefined && tree !== undefined && equalBytes(tree.root, root)) return { bytes, tree };
    this.#onBad(id);
    return undefined;
  }

  #sign(statement: AuditStatement): Uint8Array {
    const body = auditStatement.encode(statement);
    const { timeMs: epoch } = statement;
    const said = { type: "audit", swarm: this.#swarm, incarnation: NO_INCARNATION, epoch, body } as const;
    return encodeSigned(signStatement(said, this.#signer));
  }
}

function prove(
  { bytes, tree }: OpenShard,
  leaf: number,
): { found: AuditFound; leaf: Uint8Array; proof: Uint8Array[] } {
  const { shardBytes, leafBytes } = tree;
  const length = leafLength(tree, leaf);
  if (length === 0) throw invalid("a shard has no such leaf");
  const part = bytes.slice(leaf * leafBytes, leaf * leafBytes + length);
  const proof = proveRange(tree, leaf, 1);
  return { found: { shardBytes, leafBytes, hash: auditAnswerHash(part, proof) }, leaf: part, proof };
}

function invalid(reason: string): Fault {
  return new Fault({ code: "FORMAT_INVALID", what: "audit", reason });
}
