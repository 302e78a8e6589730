import { createHash, type Hash } from "node:crypto";
import type { BytePath } from "../base/paths.ts";
import type { FileStat } from "../ports/index.ts";

/**
 * One hash over what a directory's entries look like from outside: as long as it stays the same, so do the
 * entries (a file's ctime changes with its bytes, its mode, its owner, its xattrs). Local to this machine.
 */
export class Fingerprint {
  readonly #hash: Hash = createHash("sha256");
  readonly #numbers = new BigUint64Array(8);

  entry(name: BytePath, stat: FileStat): void {
    const numbers = this.#numbers;
    numbers[0] = BigInt(stat.mode) | (BigInt(stat.links) << 32n);
    numbers[1] = (BigInt(stat.uid) << 32n) | BigInt(stat.gid);
    numbers[2] = BigInt(stat.size);
    numbers[3] = BigInt.asUintN(64, stat.mtimeNs);
    numbers[4] = BigInt.asUintN(64, stat.ctimeNs);
    numbers[5] = stat.inode;
    numbers[6] = stat.device;
    numbers[7] = (BigInt(stat.major) << 32n) | BigInt(stat.minor);
    // The name's length comes first, so that no two lists of entries give the same bytes.
    this.#hash.update(`${stat.type}\0${name.length}\0${name}`, "latin1");
    this.#hash.update(numbers);
  }

  bytes(value: Uint8Array): void {
    this.#hash.update(value);
  }

  digest(): Uint8Array {
    return this.#hash.digest();
  }
}

/** Same file, same bytes, as far as the kernel says: what was saved of it is still true. */
export function isUnchanged(
  before: { size: number; mtimeNs: bigint; ctimeNs: bigint; inode: bigint; type: string },
  now: FileStat,
): boolean {
  return (
    before.type === now.type &&
    before.size === now.size &&
    before.mtimeNs === now.mtimeNs &&
    before.ctimeNs === now.ctimeNs &&
    before.inode === now.inode
  );
}
