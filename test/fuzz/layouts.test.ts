import { expect, test } from "vitest";
import type { SeededRng } from "../../sim/rng.ts";
import { cleanAddress, parseDialAddress, parseListenAddress } from "../../src/adapters/libp2p/addresses.ts";
import {
  decodeEntry as decodeIndexEntry,
  decodeTrailer,
  encodeEntry,
  encodeTrailer,
  FOOTER_BYTES,
  trailerBytes,
} from "../../src/adapters/store/shard-codec.ts";
import { parseShardFile, shardDirectoryParts, shardFileName } from "../../src/adapters/store/shard-layout.ts";
import { concatBytes, equalBytes, fromUtf8, utf8 } from "../../src/base/bytes.ts";
import type { FaultCode } from "../../src/base/fault.ts";
import {
  incarnationOf,
  ownerIdOf,
  parsePeerId,
  parseShardIdBytes,
  peerIdOf,
  type ShardId,
  shardIdBytes,
  swarmIdOf,
} from "../../src/base/ids.ts";
import { bytePath } from "../../src/base/paths.ts";
import { decodeIndexPage, encodeIndexPage } from "../../src/catalog/chunk-index.ts";
import { decodePieces, decodeTree, encodePieces, encodeTree } from "../../src/catalog/tree.ts";
import { sha256 } from "../../src/crypto/hash.ts";
import { parseRecoveryKey, recoveryWords, unwrapRoot, wrapRoot } from "../../src/crypto/recovery-key.ts";
import { signerFromSeed } from "../../src/crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { buildTree, proveRange, verifyRange } from "../../src/erasure/merkle.ts";
import { decodeEntry, signDelegation } from "../../src/membership/entry.ts";
import { encodeToken, parseToken } from "../../src/membership/token.ts";
import {
  decodeHeader,
  decodeLocator,
  decodeToc,
  encodeHeader,
  encodeLocator,
  encodeToc,
  FIRST_CHUNK_OFFSET,
  TOC_ENTRY_BYTES,
  type TocEntry,
} from "../../src/segments/layout.ts";
import { descriptorCodec, readDescriptor } from "../../src/wire/descriptor.ts";
import { tokenCodec } from "../../src/wire/membership.ts";
import { decodeSigned, encodeSigned } from "../../src/wire/signed.ts";
import { campaign, describeTally, messagesOf } from "./campaign.ts";
import { mutated, withBytesChanged } from "./hostile-cbor.ts";

const SWARM = swarmIdOf(new Uint8Array(32).fill(7));
const KEY = signerFromSeed(new Uint8Array(32).fill(1));
const shardOf = (rng: SeededRng): ShardId => ({
  owner: ownerIdOf(rng.bytes(32)),
  incarnation: incarnationOf(rng.bytes(16)),
  number: rng.below(2 ** 48),
  index: rng.below(64),
});

interface Layout {
  readonly name: string;
  readonly codes: readonly FaultCode[];
  /** One valid encoding. */
  readonly valid: (rng: SeededRng) => Uint8Array;
  /** Returns or throws a fault; a `false` fails the test. */
  readonly decode: (bytes: Uint8Array, rng: SeededRng) => unknown;
  /** @default bytes are changed with and without a look at their CBOR */
  readonly mutate?: (rng: SeededRng, bytes: Uint8Array) => Uint8Array;
  readonly times?: number;
}

const sealed = (rng: SeededRng): TocEntry[] => {
  let offset = FIRST_CHUNK_OFFSET;
  return Array.from({ length: rng.below(6) }, (_, index) => {
    const sealedBytes = 16 + rng.below(1000);
    const entry = {
      id: rng.bytes(32),
      frame: index + 1,
      offset,
      sealedBytes,
      rawBytes: rng.below(4000),
      compressed: rng.chance(0.5),
    };
    offset += sealedBytes;
    return entry;
  });
};

const text = (decode: (text: string) => unknown) => (bytes: Uint8Array) => decode(fromUtf8(bytes));

const LAYOUTS: readonly Layout[] = [
  {
    name: "signed record",
    codes: ["FORMAT_INVALID"],
    valid: (rng) =>
      encodeSigned({
        ...{ type: "head", swarm: SWARM, signer: rng.bytes(32), incarnation: incarnationOf(rng.bytes(16)) },
        ...{ epoch: rng.below(2 ** 48), body: rng.bytes(rng.below(200)), signature: rng.bytes(64) },
      }),
    decode: (bytes) => {
      const again = encodeSigned(decodeSigned(bytes));
      return equalBytes(encodeSigned(decodeSigned(again)), again);
    },
    times: 30_000,
  },
  {
    name: "descriptor with its signature",
    codes: ["FORMAT_INVALID", "SIGNATURE_INVALID"],
    valid: (rng) => {
      const [k, m] = [1 + rng.below(6), rng.below(4)];
      const segmentBytes = 1 + rng.below(2 ** 24);
      const roots = Array.from({ length: k + m }, () => rng.bytes(32));
      const sizes = {
        segmentBytes,
        shardBytes: Math.ceil(segmentBytes / k),
        leafBytes: 64 + rng.below(1000),
      };
      const rest = { class: 1, roots, lockMs: 0, createdMs: rng.below(2 ** 40) };
      const body = descriptorCodec.encode({ v: 1, codec: 1, k, m, ...sizes, ...rest });
      // Now and then the body is signed as it should not be: what is inside a good signature is no better.
      const signedBody = rng.chance(0.5) ? body : mutated(rng, body);
      const statement = {
        type: "descriptor",
        swarm: SWARM,
        incarnation: NO_INCARNATION,
        epoch: 5,
        body: signedBody,
      } as const;
      return encodeSigned(signStatement(statement, KEY));
    },
    decode: (bytes) => readDescriptor(bytes, SWARM).roots.length > 0,
  },
  {
    name: "roster entry with its body",
    codes: ["FORMAT_INVALID"],
    valid: (rng) =>
      signDelegation(
        SWARM,
        {
          ...{
            v: 1,
            guest: rng.bytes(32),
            site: "shop-12",
            nodeNumber: rng.bytes(32),
            issuedMs: 1,
            expiresMs: 2,
          },
          ...{ token: rng.bytes(16), useIndex: rng.below(256) },
        },
        [KEY],
      ).bytes,
    decode: (bytes) => equalBytes(decodeEntry(bytes).bytes, bytes),
  },
  {
    name: "token",
    codes: ["TOKEN_INVALID"],
    valid: (rng) =>
      utf8(
        encodeToken({
          ...{
            swarm: SWARM,
            seed: rng.bytes(32),
            site: "shop-12",
            expiresMs: rng.below(2 ** 40),
            uses: 1 + rng.below(256),
          },
          addresses: [{ peer: peerIdOf(rng.bytes(32)), address: "/ip4/10.0.0.1/tcp/4001" }],
        }),
      ),
    decode: text((token) => parseToken(encodeToken(parseToken(token))).uses > 0),
  },
  {
    name: "content of a token behind a good checksum",
    codes: ["TOKEN_INVALID"],
    valid: (rng) =>
      tokenCodec.encode({
        ...{ swarm: SWARM, seed: rng.bytes(32), site: "shop-12", expiresMs: 1, uses: 1 + rng.below(256) },
        addresses: [],
      }),
    decode: (bytes) => parseToken(tokenAround(bytes)) !== undefined,
  },
  {
    name: "Merkle proof",
    codes: [],
    valid: (rng) => rng.bytes(1 + rng.below(700)),
    mutate: (_rng, bytes) => bytes,
    decode: (shard, rng) => {
      const [index, leafBytes] = [rng.below(64), 1 + rng.below(100)];
      const tree = buildTree(shard, index, leafBytes);
      const leaves = Math.ceil(shard.length / leafBytes);
      const firstLeaf = rng.below(leaves);
      const leafCount = 1 + rng.below(leaves - firstLeaf);
      const bytes = shard.subarray(firstLeaf * leafBytes, (firstLeaf + leafCount) * leafBytes);
      const good = {
        root: tree.root,
        index,
        shardBytes: shard.length,
        leafBytes,
        firstLeaf,
        bytes,
        proof: proveRange(tree, firstLeaf, leafCount),
      };
      if (!verifyRange(good)) return false;
      const odd = [
        -1,
        0,
        1,
        0.5,
        Number.NaN,
        2 ** 32,
        2 ** 53,
        Number.POSITIVE_INFINITY,
        leaves,
        leafBytes + 1,
      ];
      const bad = {
        ...good,
        ...[
          () => ({ proof: [...good.proof, rng.bytes(32)] }),
          () => ({ proof: good.proof.slice(1), firstLeaf: good.proof.length === 0 ? leaves : firstLeaf }),
          () => ({ proof: [rng.bytes(rng.below(64)), ...good.proof.slice(1)] }),
          () => ({ bytes: concatBytes(bytes, rng.bytes(1)) }),
          () => ({ bytes: bytes.subarray(1) }),
          () => ({ root: rng.bytes(rng.below(64)) }),
          () => ({ index: index + rng.pick([1, 64, 2 ** 32, -index - 1]) }),
          () => ({ shardBytes: shard.length + 1 + rng.below(100) }),
          () => ({ shardBytes: rng.pick(odd.filter((one) => one !== shard.length)) }),
          () => ({ leafBytes: rng.pick(odd.filter((one) => one !== leafBytes)) }),
          () => ({ firstLeaf: rng.pick(odd.filter((one) => one !== firstLeaf)) }),
        ][rng.below(11)]?.(),
      };
      return !verifyRange(bad);
    },
    times: 20_000,
  },
  {
    name: "segment header",
    codes: [],
    valid: (rng) => encodeHeader(rng.bytes(32), rng.bytes(32)),
    decode: (bytes) => {
      const header = decodeHeader(bytes);
      return typeof header === "string" || header.salt.length + header.commitment.length === 64;
    },
  },
  {
    name: "locator and table of contents",
    codes: [],
    valid: (rng) => {
      const entries = sealed(rng);
      const last = entries.at(-1);
      const tocOffset = last === undefined ? FIRST_CHUNK_OFFSET : last.offset + last.sealedBytes;
      const tocBytes = entries.length * TOC_ENTRY_BYTES + rng.below(50);
      const locator = encodeLocator({ chunkCount: entries.length, tocOffset, tocSealedBytes: tocBytes + 16 });
      return concatBytes(locator, encodeToc(entries, tocBytes));
    },
    decode: (bytes) => {
      const locator = decodeLocator(bytes.subarray(0, 12));
      if (locator === undefined) return bytes.length < 12;
      const toc = decodeToc(bytes.subarray(12), locator);
      return typeof toc === "string" || toc.length === locator.chunkCount;
    },
  },
  {
    name: "tree page",
    codes: ["FORMAT_INVALID", "FORMAT_VERSION"],
    valid: (rng) =>
      encodeTree([
        {
          ...{
            name: bytePath(utf8("a")),
            type: "file",
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtimeNs: BigInt(rng.below(2 ** 48)),
          },
          ...{
            ctimeNs: 1n,
            inode: 2n ** 60n,
            size: 5,
            xattrs: [{ name: bytePath(utf8("user.a")), value: rng.bytes(4) }],
          },
          content: {
            kind: "pieces",
            pieces: [
              { kind: "hole", bytes: 3 },
              { kind: "chunk", id: rng.bytes(32), rawBytes: 2 },
            ],
          },
        },
        {
          ...{
            name: bytePath(utf8("b")),
            type: "directory",
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtimeNs: 1n,
            ctimeNs: 1n,
          },
          ...{ inode: 3n, size: 0, xattrs: [], tree: [rng.bytes(32)] },
        },
      ]),
    decode: (bytes) =>
      equalBytes(encodeTree(decodeTree(encodeTree(decodeTree(bytes)))), encodeTree(decodeTree(bytes))),
  },
  {
    name: "content page",
    codes: ["FORMAT_INVALID", "FORMAT_VERSION"],
    valid: (rng) =>
      encodePieces([
        { kind: "chunk", id: rng.bytes(32), rawBytes: 2 },
        { kind: "hole", bytes: rng.below(2 ** 40) },
      ]),
    decode: (bytes) => decodePieces(bytes).length >= 0,
  },
  {
    name: "index page",
    codes: ["FORMAT_INVALID", "FORMAT_VERSION"],
    valid: (rng) => {
      const place = {
        incarnation: 1,
        number: rng.below(2 ** 48),
        frame: 1,
        offset: 2,
        sealedBytes: 3,
        rawBytes: 4,
        compressed: true,
      };
      return encodeIndexPage(
        [1, 2, 3].map((first) => ({ id: concatBytes(Uint8Array.of(first), rng.bytes(31)), place })),
      );
    },
    decode: (bytes) => decodeIndexPage(bytes).length >= 0,
  },
  {
    name: "entry of the shard index",
    codes: ["FORMAT_INVALID", "FORMAT_VERSION"],
    valid: (rng) =>
      encodeEntry({ version: { generation: 1, nonce: 2 }, bytes: rng.below(2 ** 40), note: rng.bytes(9) }),
    decode: (bytes) => equalBytes(encodeEntry(decodeIndexEntry(bytes)), bytes),
  },
  {
    name: "trailer of a shard's file",
    codes: [],
    valid: (rng) => encodeTrailer(shardOf(rng), 1, rng.below(1000), rng.bytes(rng.below(60))),
    decode: (bytes, rng) => {
      const footer = bytes.subarray(Math.max(0, bytes.length - FOOTER_BYTES));
      trailerBytes(footer, rng.below(2000));
      return decodeTrailer(bytes, shardOf(rng)) === undefined;
    },
  },
  {
    name: "name of a shard's file",
    codes: [],
    valid: (rng) => {
      const id = shardOf(rng);
      return utf8(
        [
          ...shardDirectoryParts(id),
          shardFileName(id, { generation: 1 + rng.below(9), nonce: rng.below(2 ** 32) }),
        ].join("/"),
      );
    },
    mutate: withBytesChanged,
    decode: text((path) => {
      const [owner = "", incarnation = "", group = "", name = ""] = path.split("/");
      const parsed = parseShardFile([owner, incarnation, group], name);
      return parsed === undefined || shardDirectoryParts(parsed.id)[2] === group;
    }),
  },
  {
    name: "shard id",
    codes: [],
    valid: (rng) => shardIdBytes(shardOf(rng)),
    decode: (bytes) => {
      const id = parseShardIdBytes(bytes);
      return id === undefined || equalBytes(shardIdBytes(id), bytes);
    },
  },
  {
    name: "peer id",
    codes: [],
    valid: (rng) => utf8(peerIdOf(rng.bytes(32))),
    mutate: withBytesChanged,
    decode: text((id) => parsePeerId(id) === undefined || id.length > 40),
  },
  {
    name: "recovery key",
    codes: ["WRONG_KEY", "USAGE"],
    valid: (rng) => utf8(recoveryWords(rng.bytes(32))),
    mutate: withBytesChanged,
    decode: text((words) => parseRecoveryKey(words).length === 32),
    times: 3000,
  },
  {
    name: "wrapped root",
    codes: ["WRONG_KEY", "FORMAT_INVALID", "FORMAT_VERSION"],
    valid: (rng) =>
      wrapRoot(new Uint8Array(32), rng.bytes(32), rng.bytes(64).subarray(0, 32), new Uint8Array(4)),
    decode: (bytes) => unwrapRoot(new Uint8Array(32), bytes, new Uint8Array(4)).length === 32,
  },
  {
    name: "address that a peer says it has",
    codes: [],
    valid: (rng) =>
      utf8(
        rng.pick(["/ip4/10.0.0.1/tcp/4001", "/dns4/shop.example/tcp/1/p2p/12D3KooWA", "/ip6/::1/tcp/4001"]),
      ),
    mutate: withBytesChanged,
    decode: text((address) => cleanAddress(address) === undefined || address.length > 0),
    times: 20_000,
  },
  {
    name: "address that a person or a token names",
    codes: ["USAGE"],
    valid: (rng) => utf8(rng.pick(["10.0.0.1:4001", "shop.example", "[::1]:5", "/ip4/10.0.0.1/tcp/4001"])),
    mutate: withBytesChanged,
    decode: text((address) => {
      parseListenAddress(address);
      return parseDialAddress(address).address.length > 0;
    }),
    times: 20_000,
  },
];

/** What `encodeToken` makes around content that it would not encode. */
function tokenAround(content: Uint8Array): string {
  const whole = concatBytes(Uint8Array.of(1, content.length >> 8, content.length & 255), content);
  return `cairn1-${Buffer.from(concatBytes(whole, sha256(whole).subarray(0, 4))).toString("base64url")}`;
}

const STOCK = 200;

test.each(LAYOUTS.map((layout) => [layout.name, layout] as const))(
  "%s: any bytes are taken or refused",
  async (name, layout) => {
    let stock: Uint8Array[] = [];
    const tally = await campaign(
      name,
      messagesOf(layout.times ?? 10_000),
      layout.codes,
      (rng, index) => {
        const period = index % (STOCK * 20);
        if (period === 0) stock = Array.from({ length: STOCK }, () => layout.valid(rng));
        const message = stock[period % STOCK] ?? new Uint8Array(0);
        return period < STOCK ? message : (layout.mutate ?? mutated)(rng, message);
      },
      (message, rng) => {
        if (layout.decode(message, rng) === false)
          throw new Error("it is taken for something that it is not");
      },
    );
    console.log(describeTally(name, tally));
    expect(tally.accepted).toBeGreaterThan(0);
  },
);
