import { createHash } from "node:crypto";
import { decode } from "cborg";
import { describe, expect, it } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { INCARNATION_BYTES, incarnationOf, swarmIdOf } from "../../src/base/ids.ts";
import { checkTrail } from "../../src/catalog/index.ts";
import { signedHash, signStatement } from "../../src/crypto/signed.ts";
import { headPayload } from "../../src/wire/head.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { trailBody, trailPageCodec } from "../../src/wire/trail.ts";
import { signer } from "../unit/membership/world.ts";
import { goldenJson } from "./golden-file.ts";

const swarm = swarmIdOf(new Uint8Array(32).fill(0x11));
const incarnation = incarnationOf(new Uint8Array(INCARNATION_BYTES).fill(0x22));
const node = signer("golden node");

function entry(epoch: number, previous: Uint8Array, what: string, details: [string, string][]) {
  const body = trailBody.encode({ v: 1, previous, timeMs: 1_800_000_000_000 + epoch, what, details });
  return signStatement({ type: "trail", swarm, incarnation, epoch, body }, node);
}
const first = entry(1, new Uint8Array(32), "snapshot", [
  ["number", "1"],
  ["paths", "/srv/a"],
]);
const second = entry(2, signedHash(first), "rotate-key", []);
const page = trailPageCodec.encode({ v: 1, entries: [encodeSigned(first), encodeSigned(second)] });
const at = {
  id: new Uint8Array(32).fill(0x33),
  ...{ incarnation: 0, class: 1, segment: 2, frame: 3, offset: 4, sealedBytes: 5, rawBytes: 6, compressed: true },
};
const payload = headPayload.encode({
  v: 1,
  incarnations: [incarnation],
  root: at,
  snapshotSequence: 1,
  trail: { sequence: 2, hash: signedHash(second), pages: [{ from: 1, entries: 2, at }] },
});

describe("an audit trail, version 1", () => {
  it("is the pinned bytes", () => {
    const actual = { page: toHex(page), headPayload: toHex(payload), lastHash: toHex(signedHash(second)) };
    expect(actual).toEqual(goldenJson("v1/catalog/trail.json", actual));
  });

  it("is read by a reader written from the format page", () => {
    const entries: Uint8Array[] = decode(page).entries;
    let previous = Buffer.alloc(32);
    for (const [i, bytes] of entries.entries()) {
      const signed = decode(bytes);
      expect([signed.type, signed.epoch]).toEqual(["trail", i + 1]);
      expect(Buffer.from(decode(signed.body).previous).equals(previous)).toBe(true);
      const epoch = Buffer.alloc(8);
      epoch.writeBigUInt64BE(BigInt(signed.epoch));
      const parts = [Buffer.from("cairn/1/trail\0"), signed.swarm, signed.signer, signed.incarnation, epoch, signed.body];
      const hash = createHash("sha256");
      for (const part of [...parts, signed.signature]) hash.update(part);
      previous = hash.digest();
    }
    expect(previous.toString("hex")).toBe(toHex(signedHash(second)));
    const given = entries.map((bytes, i) => ({ sequence: i + 1, bytes }));
    expect(checkTrail(given, { swarm }).problems).toEqual([]);
  });
});
