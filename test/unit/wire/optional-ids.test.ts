import { expect, test } from "vitest";
import { z } from "zod";
import { type PeerId, peerIdOf } from "../../../src/base/ids.ts";
import { codec, count, peerId } from "../../../src/wire/codec.ts";

const slot = codec("slot", z.object({ slot: count, from: peerId.exactOptional() }).strict());

test("an id that may be absent is encoded where it is there, and where it is not", () => {
  const from = peerIdOf(new Uint8Array(32).fill(7));
  expect(slot.decode(slot.encode({ slot: 1, from }))).toEqual({ slot: 1, from });
  expect(slot.decode(slot.encode({ slot: 1 }))).toEqual({ slot: 1 });
});

test("an id that must be there and is not is refused in words, not by a TypeError", () => {
  const needed = codec("holder", z.object({ peer: peerId }).strict());
  const nobody: { peer?: PeerId } = {};
  expect(() =>
    needed.encode(Object.assign({ peer: peerIdOf(new Uint8Array(32)) }, nobody, { peer: undefined })),
  ).toThrow(/id/);
});
