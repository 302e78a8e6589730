import {
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  verify,
} from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { decode, encode } from "cborg";

/*
 * A second implementation of the way back, from 24 words to a file, written from docs/format.md alone. It shares no code
 * with src/, so that the text cannot be true only together with the program. Only what a reader needs; slow, and in the
 * order of the section "From 24 words to a file". `exchange` carries one message of protocol recover to a peer.
 */
export type Exchange = (
  peerKey: Buffer,
  message: { head: Uint8Array; body: Uint8Array },
) => Promise<{ head: Uint8Array; body: Uint8Array }>;

type Cbor = ReturnType<typeof decode>;

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`the format does not hold: ${what}`);
}

const sha256 = (...parts: Uint8Array[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest();
const hmac = (key: Uint8Array, bytes: Uint8Array): Buffer => createHmac("sha256", key).update(bytes).digest();
const text = (value: string): Buffer => Buffer.from(value, "latin1");
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
const kdf = (key: Uint8Array, salt: Uint8Array | undefined, info: Uint8Array, length: number): Buffer =>
  Buffer.from(hkdf(sha512, key, salt, info, length));
const subkey = (key: Uint8Array, purpose: string): Buffer =>
  kdf(key, undefined, text(`cairn/1/${purpose}`), 32);

function u32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
}

function u64(value: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(BigInt(value));
  return out;
}

function publicKeyOfSeed(seed: Buffer): Buffer {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  const key = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
  return key.export({ format: "der", type: "spki" }).subarray(12);
}

function isSignedBy(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), key]);
  return verify(null, message, createPublicKey({ key: der, format: "der", type: "spki" }), signature);
}

/** "Recovery key": 24 words of 11 bits, of which the last 8 are the first byte of the entropy's SHA-256. */
export function entropyOf(words: readonly string[]): Buffer {
  check(words.length === 24, "24 words");
  const bits = words.map((word) => wordlist.indexOf(word).toString(2).padStart(11, "0")).join("");
  const bytes = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  check(bytes[32] === sha256(bytes.subarray(0, 32))[0], "the checksum of the words");
  return bytes.subarray(0, 32);
}

export const identitySeedOf = (entropy: Buffer): Buffer => subkey(entropy, "recovery-identity-seed");

/** AES-256-GCM. */
function open(key: Uint8Array, nonce: Buffer, aad: Uint8Array, sealed: Buffer): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, nonce).setAAD(aad).setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
}

/** "Box". */
function openBox(key: Uint8Array, box: Buffer, aad: Uint8Array): Buffer {
  check(box[0] === 1 && box[1] === 1, "version and suite of a box");
  const derived = kdf(key, box.subarray(2, 34), text("cairn/1/box\0\x01\x01"), 64);
  check(same(derived.subarray(32), box.subarray(34, 66)), "the box is sealed under this key");
  return open(derived.subarray(0, 32), Buffer.alloc(12), aad, box.subarray(66));
}

/** "Envelope": in the order of checks given there. */
function readSigned(
  bytes: Uint8Array,
  type: string,
  swarm: Uint8Array | undefined,
  signer?: Uint8Array,
): Cbor {
  const envelope = decode(bytes);
  check(envelope.v === 1 && envelope.type === type, `it is a ${type}`);
  check(swarm === undefined || same(envelope.swarm, swarm), "it is of this swarm");
  check(signer === undefined || same(envelope.signer, signer), "the right key signed it");
  const { incarnation, epoch, body, signature } = envelope;
  const message = [text(`cairn/1/${type}\0`), envelope.swarm, envelope.signer, incarnation, u64(epoch), body];
  check(isSignedBy(envelope.signer, Buffer.concat(message), signature), "the signature");
  return { ...envelope, said: decode(body), hash: sha256(...message, signature) };
}

// "The field and the matrix"

function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0; bit < 8; bit++) {
    if (((b >> bit) & 1) === 1) product ^= a << bit;
  }
  for (let bit = 14; bit >= 8; bit--) if (((product >> bit) & 1) === 1) product ^= 0x11d << (bit - 8);
  return product;
}

function power(base: number, exponent: number): number {
  return exponent === 0 ? 1 : multiply(base, power(base, exponent - 1));
}

function inverse(matrix: readonly (readonly number[])[]): number[][] {
  const size = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...Array.from({ length: size }, (_, j) => (i === j ? 1 : 0))]);
  for (let column = 0; column < size; column++) {
    const pivot = rows.findIndex((row, i) => i >= column && row[column] !== 0);
    [rows[column], rows[pivot]] = [rows[pivot] ?? [], rows[column] ?? []];
    const factor = power(rows[column]?.[column] ?? 0, 254);
    rows[column] = (rows[column] ?? []).map((value) => multiply(value, factor));
    for (let i = 0; i < size; i++) {
      const by = rows[i]?.[column] ?? 0;
      if (i === column || by === 0) continue;
      rows[i] = (rows[i] ?? []).map((value, j) => value ^ multiply(by, rows[column]?.[j] ?? 0));
    }
  }
  return rows.map((row) => row.slice(size));
}

function product(a: readonly (readonly number[])[], b: readonly (readonly number[])[]): number[][] {
  return a.map((row) =>
    (b[0] ?? []).map((_, j) => row.reduce((sum, value, i) => sum ^ multiply(value, b[i]?.[j] ?? 0), 0)),
  );
}

/** One data shard's range from the same range of any k shards. */
function rebuild(k: number, n: number, have: ReadonlyMap<number, Buffer>, index: number): Buffer {
  const v = Array.from({ length: n }, (_, r) =>
    Array.from({ length: k }, (_, c) => (c === 0 ? 1 : power(r, c))),
  );
  const g = product(v, inverse(v.slice(0, k)));
  const indexes = [...have.keys()].slice(0, k);
  const row = inverse(indexes.map((i) => g[i] ?? []))[index] ?? [];
  const parts = indexes.map((i) => have.get(i) ?? Buffer.alloc(0));
  const out = Buffer.alloc(parts[0]?.length ?? 0);
  parts.forEach((part, j) => {
    const table = Array.from({ length: 256 }, (_, byte) => multiply(row[j] ?? 0, byte));
    for (let x = 0; x < out.length; x++) out[x] = (out[x] ?? 0) ^ (table[part[x] ?? 0] ?? 0);
  });
  return out;
}

/** "Shard roots", "Range proofs": whether `bytes` are the leaves from `first` on. */
function isInShard(
  of: Cbor,
  index: number,
  first: number,
  bytes: Buffer,
  proof: readonly Uint8Array[],
): boolean {
  const { leafBytes, shardBytes, roots } = of;
  let hashes: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += leafBytes) {
    const leaf = bytes.subarray(at, at + leafBytes);
    hashes.push(sha256(Buffer.of(0), u32(first + at / leafBytes), u32(leaf.length), leaf));
  }
  const rest = [...proof];
  let a = first;
  for (let width = Math.ceil(shardBytes / leafBytes); width > 1; width = Math.ceil(width / 2)) {
    const b = a + hashes.length - 1;
    if (a % 2 === 1) hashes.unshift(Buffer.from(rest.shift() ?? []));
    if (b % 2 === 0 && b + 1 < width) hashes.push(Buffer.from(rest.shift() ?? []));
    const above: Buffer[] = [];
    for (let i = 0; i < hashes.length; i += 2) {
      const [left, right] = [hashes[i], hashes[i + 1]];
      if (left !== undefined) above.push(right === undefined ? left : sha256(Buffer.of(1), left, right));
    }
    hashes = above;
    a = Math.floor(a / 2);
  }
  const [top] = hashes;
  if (rest.length > 0 || hashes.length !== 1 || top === undefined) return false;
  const root = sha256(Buffer.of(2, of.codec), u32(index), u64(shardBytes), u32(leafBytes), top);
  return same(root, roots[index]);
}

interface Place {
  readonly incarnation: number;
  readonly class: number;
  readonly segment: number;
  readonly frame: number;
  readonly offset: number;
  readonly sealedBytes: number;
  readonly rawBytes: number;
  readonly compressed: boolean;
}

export interface ReadFile {
  readonly type: number;
  readonly bytes: Buffer;
  readonly target: string | undefined;
}

export class SecondReader {
  readonly #exchange: Exchange;
  readonly #swarm: Buffer;
  readonly #owner: Buffer;
  readonly #root: Buffer;
  readonly #payload: Cbor;
  readonly #maps: ReadonlyMap<string, Cbor>;
  /** Shards that are taken for lost. */
  readonly #lost: ReadonlySet<number>;
  readonly #index = new Map<string, Place>();
  readonly #descriptors = new Map<string, Cbor>();
  readonly #headers = new Map<string, Buffer>();

  private constructor(
    exchange: Exchange,
    found: { swarm: Buffer; owner: Buffer; root: Buffer; payload: Cbor; maps: Map<string, Cbor> },
    lost: readonly number[],
  ) {
    this.#exchange = exchange;
    this.#swarm = found.swarm;
    this.#owner = found.owner;
    this.#root = found.root;
    this.#payload = found.payload;
    this.#maps = found.maps;
    this.#lost = new Set(lost);
  }

  /** Steps 1 to 8. */
  static async begin(
    words: readonly string[],
    via: Buffer,
    exchange: Exchange,
    lost: readonly number[],
  ): Promise<SecondReader> {
    const entropy = entropyOf(words);
    const identity = publicKeyOfSeed(identitySeedOf(entropy));
    const ask = async (peer: Buffer, request: Cbor): Promise<Cbor> =>
      decode((await exchange(peer, { head: encode(request), body: new Uint8Array(0) })).head);
    const welcome = await ask(via, { t: "hello", v: 1, page: {} });
    check(welcome.t === "welcome", "a welcome");

    const slots = welcome.slots.map((slot: Uint8Array) => readSigned(slot, "slot", undefined, identity));
    const slot = slots.sort((a: Cbor, b: Cbor) => b.epoch - a.epoch)[0];
    check(same(slot.swarm, slot.said.swarm), "body and envelope name one swarm");
    const swarm = Buffer.from(slot.said.swarm);
    const owner = Buffer.from(slot.said.owner);
    const aad = Buffer.concat([text("cairn/1/wrapped-root\0cairn/1/slot/root\0"), swarm, owner]);
    const root = openBox(subkey(entropy, "recovery-wrapping-key"), Buffer.from(slot.said.wrappedRoot), aad);
    check(same(publicKeyOfSeed(subkey(root, "owner-seed")), owner), "the root is the owner's");

    const genesis = decode(welcome.page.genesis);
    check(same(sha256(text("cairn/1/genesis\0"), genesis.body), swarm), "the genesis is the swarm's");

    const pool = await ask(via, { t: "pool", v: 1 });
    const heads: Cbor[] = [];
    const maps = new Map<string, Cbor>();
    for (const { peer } of pool.peers) {
      const answer = await ask(Buffer.from(peer), { t: "records", v: 1, owner }).catch(() => undefined);
      for (const record of answer?.t === "records" ? answer.records : []) {
        if (decode(record).type === "head") heads.push(readSigned(record, "head", swarm, owner));
        else {
          const map = readSigned(record, "map", swarm, owner);
          const key = `${hex(map.incarnation)}/${map.said.class}`;
          if ((maps.get(key)?.epoch ?? -1) < map.epoch) maps.set(key, map);
        }
      }
    }
    const head = heads.sort((a, b) => b.epoch - a.epoch || Buffer.compare(a.hash, b.hash))[0];
    const payload = decode(openBox(subkey(root, "metadata-key"), Buffer.from(head.said.payload), owner));
    return new SecondReader(exchange, { swarm, owner, root, payload, maps }, lost);
  }

  /** Steps 9 and 10: every entry of the newest snapshot by its path. */
  async newestSnapshot(): Promise<Map<string, ReadFile>> {
    const root = decode(await this.#chunkAt(this.#payload.root, this.#payload.root.id));
    check(root.v === 1 || root.v === 2, "a catalog root");
    for (const locator of root.runs) await this.#readRun(locator);
    const last = decode(await this.#chunkAt(root.snapshots.at(-1), root.snapshots.at(-1).id));
    const entry = last.snapshots.at(-1);
    check(entry.sequence === this.#payload.snapshotSequence, "the newest snapshot is the last one");
    const bytes = await this.#chunkAt(entry.manifest, entry.manifest.id);
    check(same(sha256(bytes), entry.id), "the manifest has the snapshot's id");
    const files = new Map<string, ReadFile>();
    await this.#readTree("", decode(bytes).root, files);
    return files;
  }

  async #readRun(locator: Cbor): Promise<void> {
    const run = decode(await this.#chunkAt(locator, locator.id));
    const classes = new Map<string, number>();
    for (const [incarnation, segments] of run.segments) {
      for (const [number, classId] of segments) classes.set(`${incarnation}/${number}`, classId);
    }
    for (const [fence, at] of run.pages) {
      const page = await this.#chunkAt(at, at.id);
      check(page[0] === 1 && (page.length - 1) % 61 === 0, "an index page");
      check(same(page.subarray(1, 9), fence), "the fence of a page");
      for (let i = 1; i < page.length; i += 61) {
        const number = Number(page.readBigUInt64BE(i + 36));
        const incarnation = page.readUInt32BE(i + 32);
        this.#index.set(hex(page.subarray(i, i + 32)), {
          incarnation,
          segment: number,
          class: classes.get(`${incarnation}/${number}`) ?? Number.NaN,
          frame: page.readUInt32BE(i + 44),
          offset: page.readUInt32BE(i + 48),
          sealedBytes: page.readUInt32BE(i + 52),
          rawBytes: page.readUInt32BE(i + 56),
          compressed: ((page[i + 60] ?? 0) & 1) === 1,
        });
      }
    }
  }

  async #readTree(path: string, pages: readonly Uint8Array[], files: Map<string, ReadFile>): Promise<void> {
    for (const id of pages) {
      const [version, list] = decode(await this.#chunk(id));
      check(version === 1, "a tree page");
      for (const [name, type, , , , , , , size, extra] of list) {
        const at = `${path}/${Buffer.from(name).toString("latin1")}`;
        if (extra.t !== undefined) await this.#readTree(at, extra.t, files);
        const bytes = type === 0 ? await this.#contents(extra) : Buffer.alloc(0);
        check(type !== 0 || bytes.length === size, "the pieces are as long as the file");
        const target = extra.l === undefined ? undefined : Buffer.from(extra.l).toString("latin1");
        files.set(at, { type, bytes, target });
      }
    }
  }

  async #contents(extra: Cbor): Promise<Buffer> {
    const pieces: Cbor[] = extra.c ?? [];
    for (const id of extra.p ?? []) pieces.push(...decode(await this.#chunk(id))[1]);
    const parts: Buffer[] = [];
    for (const piece of pieces) {
      parts.push(Array.isArray(piece) ? await this.#chunk(piece[0]) : Buffer.alloc(piece));
      check(!Array.isArray(piece) || parts.at(-1)?.length === piece[1], "the length of a piece");
    }
    return Buffer.concat(parts);
  }

  async #chunk(id: Uint8Array): Promise<Buffer> {
    const place = this.#index.get(hex(id));
    check(place !== undefined, "the index has the chunk");
    return this.#chunkAt(place, id);
  }

  /** "Reading" and "Sealing". */
  async #chunkAt(place: Place, id: Uint8Array): Promise<Buffer> {
    const header = await this.#header(place);
    check(hex(header.subarray(0, 8)) === "43524e5301010000", "the header of a segment");
    const incarnation = this.#payload.incarnations[place.incarnation];
    const identity = Buffer.concat([this.#owner, incarnation, u64(place.segment)]);
    const info = Buffer.concat([text("cairn/1/segment\0\x01\x01"), identity]);
    const derived = kdf(subkey(this.#root, "data-key"), header.subarray(8, 40), info, 64);
    check(same(derived.subarray(32), header.subarray(40, 72)), "the key commitment");
    const sealed = await this.#sealed(place, place.offset, place.offset + place.sealedBytes);
    const nonce = Buffer.concat([Buffer.alloc(8), u32(place.frame)]);
    const aad = Buffer.concat([identity, u32(place.frame), Buffer.of(0)]);
    const stored = open(derived.subarray(0, 32), nonce, aad, sealed);
    const raw = place.compressed ? zstdDecompressSync(stored) : stored;
    check(raw.length === place.rawBytes, "the length of a chunk");
    check(same(hmac(subkey(this.#root, "chunk-id-key"), raw), id), "the id of a chunk");
    return raw;
  }

  async #header(place: Place): Promise<Buffer> {
    const key = `${place.incarnation}/${place.segment}`;
    const header = this.#headers.get(key) ?? (await this.#sealed(place, 0, 72));
    this.#headers.set(key, header);
    return header;
  }

  /** Bytes [from, to) of a sealed segment. */
  async #sealed(place: Place, from: number, to: number): Promise<Buffer> {
    const descriptor = await this.#descriptor(place);
    const { shardBytes } = descriptor;
    const parts: Buffer[] = [];
    for (let at = from; at < to; ) {
      const index = Math.floor(at / shardBytes);
      const end = Math.min(to, (index + 1) * shardBytes);
      parts.push(await this.#shardRange(place, descriptor, index, at % shardBytes, end - index * shardBytes));
      at = end;
    }
    return Buffer.concat(parts);
  }

  async #shardRange(place: Place, of: Cbor, index: number, from: number, to: number): Promise<Buffer> {
    const first = Math.floor(from / of.leafBytes);
    const offset = first * of.leafBytes;
    const end = Math.min(of.shardBytes, Math.ceil(to / of.leafBytes) * of.leafBytes);
    const within = (bytes: Buffer): Buffer => bytes.subarray(from - offset, to - offset);
    if (!this.#lost.has(index)) return within(await this.#get(place, of, index, offset, end - offset));
    const have = new Map<number, Buffer>();
    for (let other = of.k + of.m - 1; other >= 0 && have.size < of.k; other--) {
      if (!this.#lost.has(other)) have.set(other, await this.#get(place, of, other, offset, end - offset));
    }
    return within(rebuild(of.k, of.k + of.m, have, index));
  }

  async #get(place: Place, of: Cbor, index: number, offset: number, length: number): Promise<Buffer> {
    const { answer, body } = await this.#ask(place, index, offset, length);
    check(answer.t === "shard" && body.length === length, "a range of a shard");
    check(isInShard(of, index, offset / of.leafBytes, body, answer.proof), "the range proof");
    return body;
  }

  async #descriptor(place: Place): Promise<Cbor> {
    const key = `${place.incarnation}/${place.segment}`;
    const known = this.#descriptors.get(key);
    if (known !== undefined) return known;
    const incarnation = this.#payload.incarnations[place.incarnation];
    const index = [...this.#slots(place).keys()].find((i) => !this.#lost.has(i)) ?? 0;
    const { answer, body } = await this.#ask(place, index, 0, 0);
    const envelope = readSigned(answer.descriptor, "descriptor", this.#swarm, this.#owner);
    check(same(envelope.incarnation, incarnation) && envelope.epoch === place.segment, "its segment");
    const { said } = envelope;
    check(said.class === place.class && said.roots.length === said.k + said.m, "a descriptor");
    check(answer.proof.length === 0 && isInShard(said, index, 0, body, []), "a whole shard");
    this.#descriptors.set(key, said);
    return said;
  }

  /** Keys of the holders of shards 0 .. n - 1. */
  #slots({ incarnation, class: classId, segment }: Place): Buffer[] {
    const map = this.#maps.get(`${hex(this.#payload.incarnations[incarnation])}/${classId}`)?.said;
    check(map !== undefined, "the map of a class");
    const row = map.rows.find(([partition]: [number]) => partition === segment % map.partitions);
    const generation = row[1].findLast(({ from }: { from: number }) => from <= segment);
    return generation.slots.map((slot: number) => Buffer.from(map.peers[slot]));
  }

  async #ask(
    place: Place,
    index: number,
    offset: number,
    length: number,
  ): Promise<{ answer: Cbor; body: Buffer }> {
    const holder = this.#slots(place)[index];
    check(holder !== undefined, "a holder");
    const incarnation = this.#payload.incarnations[place.incarnation];
    const segment = { owner: this.#owner, incarnation, number: place.segment };
    const head = encode({ t: "get", v: 1, ...segment, index, offset, length });
    const reply = await this.#exchange(holder, { head, body: new Uint8Array(0) });
    return { answer: decode(reply.head), body: Buffer.from(reply.body) };
  }
}
