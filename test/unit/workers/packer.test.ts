import { describe, expect, it } from "vitest";
import { Packer } from "../../../src/adapters/workers/packer.ts";

const KIB = 1024;
const counted = (length: number) => Uint8Array.from({ length }, (_, i) => i % 251);

/** As another thread would get it. */
function moved(packer: Packer, arrays: readonly Uint8Array[]): readonly Uint8Array[] {
  return structuredClone(arrays, { transfer: packer.transfer });
}

describe("Packer", () => {
  it("copies what it is asked to copy, large or small", () => {
    const packer = new Packer();
    const originals = [counted(3), counted(100 * KIB), counted(0), counted(7000)];
    const arrived = moved(packer, originals.map(packer.copy));
    expect(arrived).toEqual(originals);
    expect(originals.map((bytes) => bytes.length)).toEqual([3, 100 * KIB, 0, 7000]);
  });

  it("moves what it is given, without a copy", () => {
    const packer = new Packer();
    const large = counted(100 * KIB);
    const buffer = large.buffer;
    const [arrived] = moved(packer, [packer.give(large)]);
    expect(arrived).toEqual(counted(100 * KIB));
    expect(packer.transfer).toEqual([buffer]);
    expect(buffer.byteLength).toBe(0);
  });

  it("never moves a part of a larger buffer", () => {
    const packer = new Packer();
    const whole = counted(100 * KIB);
    const arrived = moved(
      packer,
      [whole.subarray(0, 20 * KIB), whole.subarray(20 * KIB, 90 * KIB)].map(packer.give),
    );
    expect(whole.length).toBe(100 * KIB);
    expect(arrived.map((bytes) => bytes.length)).toEqual([20 * KIB, 70 * KIB]);
  });

  it("puts small arrays together, so that each does not cost a buffer, and none drags a pool along", () => {
    const packer = new Packer();
    const ids = Array.from({ length: 1000 }, (_, i) => Buffer.from(`id ${i}`.padEnd(32)));
    const packed = ids.map(packer.give);
    const sizes = packer.transfer.map((buffer) => buffer.byteLength);
    const arrived = moved(packer, packed);
    expect(arrived.map((bytes) => Buffer.from(bytes).toString())).toEqual(ids.map((id) => id.toString()));
    expect(sizes).toEqual(sizes.map((_, i) => KIB * 2 ** i));
    const total = sizes.reduce((a, b) => a + b);
    expect(total).toBeGreaterThanOrEqual(32_000);
    expect(total).toBeLessThanOrEqual(2 * 32_000 + KIB);
  });

  it("makes buffers of 64 KiB for many small arrays, and none larger: the receiver may keep one array of each", () => {
    const packer = new Packer();
    for (let i = 0; i < 100_000; i++) packer.give(Buffer.from(`id ${i}`.padEnd(32)));
    const sizes = packer.transfer.map((buffer) => buffer.byteLength);
    expect(Math.max(...sizes)).toBe(64 * KIB);
    expect(sizes.length).toBeLessThanOrEqual(Math.ceil((100_000 * 32) / (64 * KIB)) + 6);
  });

  it("makes a short message cost no more than a short buffer, since the receiver may keep it for long", () => {
    const packer = new Packer();
    packer.give(Buffer.from("id".padEnd(32)));
    expect(packer.transfer.map((buffer) => buffer.byteLength)).toEqual([KIB]);
  });
});
