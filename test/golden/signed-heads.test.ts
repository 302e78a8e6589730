import { expect, it } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { signedHeads } from "../../src/exchange/signed-heads.ts";
import { goldenJson } from "./golden-file.ts";

it("which heads a home has signed is kept as the pinned bytes", () => {
  const bytes = signedHeads.encode({
    v: 1,
    incarnation: new Uint8Array(16).fill(7),
    heads: [
      [3, new Uint8Array(8).fill(1)],
      [70_000, new Uint8Array(8).fill(2)],
    ],
  });
  const pinned = { signedHeads: toHex(bytes) };
  expect(pinned).toEqual(goldenJson("v1/home/signed-heads.json", pinned));
});
