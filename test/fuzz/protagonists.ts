import type { SeededRng } from "../../sim/rng.ts";
import { must } from "../../src/base/assert.ts";
import {
  type Incarnation,
  idBytes,
  incarnationOf,
  ownerIdOf,
  peerIdOf,
  type SwarmId,
} from "../../src/base/ids.ts";
import { sha256 } from "../../src/crypto/hash.ts";
import { type Signer, signerFromSeed } from "../../src/crypto/sign.ts";
import { NO_INCARNATION, type SignedType, signStatement } from "../../src/crypto/signed.ts";
import { shardRoot } from "../../src/erasure/index.ts";
import { signCertificate } from "../../src/membership/entry.ts";
import { guestSigner, parseToken, type TokenContent } from "../../src/membership/index.ts";
import { incarnationBody, slotBody } from "../../src/wire/data.ts";
import { descriptorCodec } from "../../src/wire/descriptor.ts";
import { headBody, mapBody } from "../../src/wire/head.ts";
import { liveList, liveSetBody } from "../../src/wire/live-set.ts";
import { type CertificateBody, nodeStatusCodec } from "../../src/wire/membership.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { recoverOnto } from "../support/recover.ts";
import { type Machine, Swarm } from "../support/swarm.ts";
import { mutated, withBytesChanged } from "./hostile-cbor.ts";
import { drawerOf, type Ingredients } from "./schema-values.ts";

/** A shard with the descriptor that names it. */
export interface Shard {
  readonly index: number;
  readonly body: Uint8Array;
  readonly descriptor: Uint8Array;
}

/**
 * A swarm with an honest node that hears, a member that has gone bad, a former one whose owner was recovered elsewhere, a guest
 * with a good token, and the bad member's recovery identity; and what each of them can sign.
 */
export class Protagonists {
  readonly swarm: Swarm;
  readonly honest: Machine;
  readonly bad: Machine;
  readonly former: Machine;
  readonly token: TokenContent;
  readonly guest: Signer;
  readonly lives: readonly Incarnation[];
  readonly stranger = signerFromSeed(new Uint8Array(32).fill(9));

  private constructor(swarm: Swarm, token: TokenContent) {
    this.swarm = swarm;
    this.honest = swarm.member(0);
    this.bad = swarm.member(1);
    this.former = swarm.member(3);
    this.token = token;
    this.guest = guestSigner(token, 0);
    this.lives = [1, 2, 3].map((byte) => incarnationOf(new Uint8Array(16).fill(byte)));
  }

  static async meet(seed: string): Promise<Protagonists> {
    const swarm = await Swarm.create({ sites: ["a", "b", "c", "c"], seed });
    const former = swarm.member(3);
    await swarm.clock.during(former.snapshot([import.meta.filename]));
    const successor = swarm.newMachine("successor", "c");
    await swarm.clock.during(recoverOnto(successor, former, swarm.member(2)));
    const { token } = await swarm.member(0).node.invite({ site: "shop", expiresMs: 3_600_000, uses: 4 });
    await swarm.settle();
    return new Protagonists(swarm, parseToken(token));
  }

  get swarmId(): SwarmId {
    return this.honest.node.roster.swarm;
  }

  get recovery(): Signer {
    return this.bad.identity.recovery.identity;
  }

  /** Ids, keys and records that mean something to the node that hears them. */
  ingredients(): Ingredients {
    const keys = [this.honest, this.bad].flatMap(({ identity }) => [
      identity.keys.signer.publicKey,
      identity.node.publicKey,
      identity.recovery.identity.publicKey,
    ]);
    const names = [...keys, this.guest.publicKey, idBytes(this.swarmId), ...this.#entryHashes()];
    const lives = [...this.lives, NO_INCARNATION].map((life) => idBytes(life));
    return (rng, { min, max }) => {
      if (rng.chance(0.1)) return undefined;
      if (min === 32 && max === 32) return rng.pick(names);
      if (min === 16 && max === 16) return rng.pick(lives);
      if (min > 0 || max < 4096) return undefined;
      const made = max < 64 * 1024 ? this.entry(rng) : this.record(rng);
      return made.length <= max ? made : undefined;
    };
  }

  #entryHashes(): Uint8Array[] {
    return this.honest.node.roster.delegations().map((delegation) => delegation.hash);
  }

  /** A statement of some type by one of the bad one's keys; the body is right, spoilt, or of another type. */
  record(rng: SeededRng): Uint8Array {
    const types: readonly SignedType[] = [
      "head",
      "map",
      "status",
      "slot",
      "incarnation",
      "descriptor",
      "live-set",
      "receipt",
    ];
    const type = rng.pick(types);
    const { identity } = this.bad;
    const signer = rng.pick([
      identity.keys.signer,
      identity.keys.signer,
      identity.node,
      identity.recovery.identity,
      this.guest,
    ]);
    const right = this.#body(rng.chance(0.9) ? type : rng.pick(types), rng);
    const body = rng.chance(0.5) ? right : mutated(rng, right);
    const epoch = rng.pick([0, 1, rng.below(300), 2 ** 32, 2 ** 33, Number.MAX_SAFE_INTEGER]);
    const incarnation = rng.pick([...this.lives, NO_INCARNATION]);
    const signed = encodeSigned(
      signStatement({ type, swarm: this.swarmId, incarnation, epoch, body }, signer),
    );
    return rng.chance(0.8) ? signed : mutated(rng, signed);
  }

  /** A head of the bad one's present life, newer or older than what it said before. */
  head(rng: SeededRng): Uint8Array {
    return this.#ownStatement("head", rng.below(300), this.#body("head", rng));
  }

  /** What the bad one still wants of its lives, and the list that belongs to it. */
  liveSet(rng: SeededRng): { readonly record: Uint8Array; readonly list: Uint8Array } {
    const lives = this.lives.map((incarnation) => ({ incarnation, below: 50, runs: [rng.below(20), 10] }));
    const list = liveList.encode({ v: 1, lives });
    const body = liveSetBody.encode({ v: 1, timeMs: 1, bytes: list.length, hash: sha256(list) });
    return { record: this.#ownStatement("live-set", rng.below(300), body), list };
  }

  #ownStatement(type: SignedType, epoch: number, body: Uint8Array): Uint8Array {
    const incarnation = must(this.lives[0], "life");
    const { signer } = this.bad.identity.keys;
    return encodeSigned(signStatement({ type, swarm: this.swarmId, incarnation, epoch, body }, signer));
  }

  #body(type: SignedType, rng: SeededRng): Uint8Array {
    switch (type) {
      case "head":
        return headBody.encode({
          v: 1,
          timeMs: rng.below(2 ** 41),
          nextSegment: rng.below(99),
          payload: rng.bytes(50),
        });
      case "map": {
        const [k, m] = [1 + rng.below(3), rng.below(3)];
        const slots = Array.from({ length: k + m }, () => rng.below(3));
        const peers = [this.honest.peer, this.bad.peer];
        const generation = { from: rng.below(9), slots, versions: [] };
        const shape = { class: rng.below(3), k, m, cap: 1, partitions: 16 };
        return mapBody.encode({ v: 1, ...shape, peers, rows: [[rng.below(16), [generation]]] });
      }
      case "status":
        return nodeStatusCodec.encode({
          ...{ v: 1, addresses: ["/ip4/10.9.9.9/tcp/1"], capacityBytes: 1, usedBytes: 0, freeBytes: 1 },
          ...{ formatVersions: { reads: [1], writes: 1 }, programVersion: "x", timeMs: rng.below(2 ** 41) },
        });
      case "slot":
        return slotBody.encode({
          v: 1,
          swarm: this.swarmId,
          owner: this.bad.identity.keys.owner,
          wrappedRoot: rng.bytes(80),
        });
      case "incarnation":
        return incarnationBody.encode({
          ...{ v: 1, owner: rng.pick([this.bad, this.honest]).identity.keys.owner },
          ...{ incarnation: rng.pick(this.lives), timeMs: 1 },
        });
      default:
        return rng.bytes(rng.below(80));
    }
  }

  /** An entry of the roster as it is, spoilt, or a certificate by keys that somebody here has. */
  entry(rng: SeededRng): Uint8Array {
    const { roster } = this.honest.node;
    if (rng.chance(0.3)) {
      const known = rng.pick([
        ...roster.delegations(),
        ...roster.certificatesOf(this.bad.identity.keys.owner),
      ]);
      return rng.chance(0.3) ? known.bytes : mutated(rng, known.bytes);
    }
    const delegation = rng.pick(roster.delegations());
    const { keys, recovery, node } = this.bad.identity;
    const newcomer = [
      signerFromSeed(rng.bytes(32)),
      signerFromSeed(rng.bytes(32)),
      signerFromSeed(rng.bytes(32)),
    ] as const;
    const [nodeKey, ownerKey, recoveryKey] = rng.chance(0.7)
      ? newcomer
      : [node, keys.signer, recovery.identity];
    const fields = {
      v: 1 as const,
      ...{
        peer: peerIdOf(nodeKey.publicKey),
        owner: ownerIdOf(ownerKey.publicKey),
        recovery: recoveryKey.publicKey,
      },
      ...{
        site: rng.pick(["shop", "a", "elsewhere"]),
        name: "n",
        host: "h",
        capacityBytes: 1,
        nodeNumber: delegation.body.nodeNumber,
      },
      ...{
        generation: rng.pick([0, 1, 2, 2 ** 32]),
        holder: rng.chance(0.5),
        issuedMs: this.swarm.clock.wallMs(),
      },
    };
    const body: CertificateBody = rng.pick([
      { ...fields, by: "administrators" },
      { ...fields, by: "delegation", delegation: delegation.hash },
      { ...fields, by: "recovery" },
    ]);
    // Never all that it takes: the guests of this story stay guests.
    const signers = [rng.pick([this.guest, this.recovery, this.stranger]), nodeKey, ownerKey].slice(
      0,
      1 + rng.below(3),
    );
    const { bytes } = signCertificate(this.swarmId, body, signers);
    return rng.chance(0.7) ? bytes : withBytesChanged(rng, bytes);
  }

  /** Shards of one small segment of somebody's owner, as an honest owner makes them. */
  segment(rng: SeededRng, number: number, of: Machine = this.bad): Shard[] {
    const [k, m] = [2, 1];
    const [shardBytes, leafBytes] = [1 + rng.below(400), 64];
    const bodies = Array.from({ length: k + m }, () => rng.bytes(shardBytes));
    const sizes = { segmentBytes: shardBytes * k, shardBytes, leafBytes };
    const roots = bodies.map((body, index) => shardRoot(body, index, leafBytes));
    const body = descriptorCodec.encode({
      v: 1,
      codec: 1,
      k,
      m,
      class: 0,
      ...sizes,
      roots,
      lockMs: 0,
      createdMs: 1,
    });
    const incarnation = must(this.lives[0], "life");
    const statement = { type: "descriptor", swarm: this.swarmId, incarnation, epoch: number, body } as const;
    const descriptor = encodeSigned(signStatement(statement, of.identity.keys.signer));
    return bodies.map((shard, index) => ({ index, body: shard, descriptor }));
  }

  drawer(schema: Parameters<typeof drawerOf>[0]): ReturnType<typeof drawerOf> {
    return drawerOf(schema, this.ingredients());
  }
}
