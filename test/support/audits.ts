import { SeededRng } from "../../sim/rng.ts";
import { must } from "../../src/base/assert.ts";
import { concatBytes } from "../../src/base/bytes.ts";
import { incarnationOf, ownerIdOf, peerIdOf, type SwarmId, swarmIdOf } from "../../src/base/ids.ts";
import { signerFromSeed } from "../../src/crypto/sign.ts";
import { NO_INCARNATION, type SignedType, signStatement } from "../../src/crypto/signed.ts";
import { buildTree, proveRange } from "../../src/erasure/index.ts";
import { type AuditStatement, auditAnswerHash, auditStatement, leafLength } from "../../src/wire/audit.ts";
import { type AuditRequest, type DataAnswerOf, receiptBody } from "../../src/wire/data.ts";
import { encodeSigned } from "../../src/wire/signed.ts";

export const LEAF_BYTES = 64;

/** A holder with one shard, which says what a test wants it to say, signed. */
export class AuditStory {
  readonly swarm: SwarmId;
  readonly holder = signerFromSeed(new Uint8Array(32).fill(1));
  readonly peer = peerIdOf(this.holder.publicKey);
  readonly owner = ownerIdOf(signerFromSeed(new Uint8Array(32).fill(2)).publicKey);
  readonly incarnation = incarnationOf(new Uint8Array(16).fill(3));
  readonly index = 2;
  readonly number = 5;
  readonly nonce = new Uint8Array(32).fill(9);
  readonly bytes: Uint8Array;
  readonly tree: ReturnType<typeof buildTree>;

  constructor(shardBytes = 1000, swarm = swarmIdOf(new Uint8Array(32).fill(7))) {
    this.swarm = swarm;
    this.bytes = new SeededRng("audit story").bytes(shardBytes);
    this.tree = buildTree(this.bytes, this.index, LEAF_BYTES);
  }

  request(leaves: readonly number[], changes: Partial<AuditRequest> = {}): AuditRequest {
    const { owner, nonce, incarnation, number, index } = this;
    const challenges = leaves.map((leaf) => ({ incarnation, number, index, root: this.tree.root, leaf }));
    return { t: "audit", v: 1, owner, nonce, challenges, ...changes };
  }

  /** What this holder answers when its disk has these bytes and it signs them whatever they are. */
  reply(
    request: AuditRequest,
    bytes: Uint8Array = this.bytes,
    changes: Partial<AuditStatement> = {},
    by = this.holder,
  ): { answer: DataAnswerOf<"audit">; body: Uint8Array } {
    const tree = buildTree(bytes, this.index, LEAF_BYTES);
    const parts = request.challenges.map(({ leaf }) => ({
      leaf: bytes.slice(leaf * LEAF_BYTES, leaf * LEAF_BYTES + leafLength(tree, leaf)),
      proof: proveRange(tree, leaf, 1),
    }));
    const layout = { shardBytes: bytes.length, leafBytes: LEAF_BYTES };
    const items = request.challenges.map((asked, i) => {
      const { leaf, proof } = must(parts[i], "part");
      return { asked, found: { ...layout, hash: auditAnswerHash(leaf, proof) } };
    });
    const statement = this.statement(request, { items, ...changes }, by);
    const proofs = parts.map(({ proof }) => proof);
    return {
      answer: { t: "audit", v: 1, statement, proofs },
      body: concatBytes(...parts.map((p) => p.leaf)),
    };
  }

  /** "I do not have any of them." */
  denial(request: AuditRequest, changes: Partial<AuditStatement> = {}): ReturnType<AuditStory["reply"]> {
    const statement = this.statement(request, changes);
    return { answer: { t: "audit", v: 1, statement, proofs: [] }, body: new Uint8Array(0) };
  }

  statement(request: AuditRequest, changes: Partial<AuditStatement> = {}, by = this.holder): Uint8Array {
    const { owner, nonce, challenges } = request;
    const items = challenges.map((asked) => ({ asked, found: null }));
    const body: AuditStatement = { v: 1, owner, nonce, timeMs: 2000, items, ...changes };
    return this.sign("audit", body.timeMs, auditStatement.encode(body), by);
  }

  receipt(changes: Partial<ReturnType<(typeof receiptBody)["decode"]>> = {}, by = this.holder): Uint8Array {
    const { owner, incarnation, number, index } = this;
    const body = {
      v: 1,
      owner,
      incarnation,
      number,
      index,
      root: this.tree.root,
      timeMs: 1000,
      ...changes,
    } as const;
    return this.sign("receipt", body.timeMs, receiptBody.encode(body), by);
  }

  sign(type: SignedType, epoch: number, body: Uint8Array, by = this.holder): Uint8Array {
    return encodeSigned(
      signStatement({ type, swarm: this.swarm, incarnation: NO_INCARNATION, epoch, body }, by),
    );
  }
}
