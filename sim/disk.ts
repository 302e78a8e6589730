import { Fault } from "../src/base/fault.ts";
import type { Clock } from "../src/ports/clock.ts";
import type { SeededRng } from "./rng.ts";

export interface SimDiskInit {
  readonly clock: Clock;
  readonly rng: SeededRng;
  readonly totalBytes: number;
  /** Time of each read, and of each synced write. @default 0 */
  readonly readMs?: number;
  readonly syncMs?: number;
  /** Time of moving data. @default unlimited */
  readonly bytesPerSecond?: number;
}

/** Something kept on a disk, for the disk to tear when the power goes. */
export interface DiskTenant {
  usedBytes(): number;
  /** Forgets, by the disk's randomness, some of what was not synced; what was is all there afterwards. */
  losePower(rng: SeededRng): void;
  /** Everything is gone. */
  wipe(): void;
  /** Copies what is there; what it returns puts that back. */
  image(): () => void;
}

/**
 * The disk of one simulated machine. Its tenants (the stores) outlive the node that uses them: after `losePower`
 * a new node opens the same ones. Operations that were under way never return, as in a machine that is off:
 * nothing that the old node was doing goes on.
 */
export class SimDisk {
  readonly rng: SeededRng;
  readonly #init: SimDiskInit;
  readonly #tenants: DiskTenant[] = [];
  #life = 0;
  /** Every write fails so, if set. */
  writeFault: "EIO" | "EROFS" | undefined;
  readFault: "EIO" | undefined;
  /** Multiplies all times: a disk that is dying answers slowly. */
  slowness = 1;
  /** Bytes that something else on this machine takes. */
  foreignBytes = 0;

  constructor(init: SimDiskInit) {
    this.#init = init;
    this.rng = init.rng;
  }

  /** Which life of the machine this is; an operation belongs to the one in which it began. */
  get life(): number {
    return this.#life;
  }

  get totalBytes(): number {
    return this.#init.totalBytes;
  }

  freeBytes(): number {
    const used = this.#tenants.reduce((sum, tenant) => sum + tenant.usedBytes(), this.foreignBytes);
    return Math.max(0, this.#init.totalBytes - used);
  }

  attach(tenant: DiskTenant): void {
    this.#tenants.push(tenant);
  }

  losePower(): void {
    this.#life++;
    for (const tenant of this.#tenants) tenant.losePower(this.rng);
  }

  /** A new disk in the old one's place. */
  wipe(): void {
    this.#life++;
    for (const tenant of this.#tenants) tenant.wipe();
  }

  /** Copies the disk as it is; what it returns puts the copy in the disk's place, as an operator does with a backup. */
  image(): () => void {
    const restores = this.#tenants.map((tenant) => tenant.image());
    return () => {
      this.#life++;
      for (const restore of restores) restore();
    };
  }

  /** Takes the time of reading so much. Faults: `DISK_FAILED`. */
  async reading(bytes: number): Promise<void> {
    const life = this.#life;
    await this.#pass(this.#init.readMs ?? 0, bytes);
    if (this.#life !== life) await never();
    if (this.readFault !== undefined) throw this.#failed(this.readFault);
  }

  /**
   * Takes the time of writing so much, then does it: in the same moment in which it is found that the machine is still
   * on, because a write that comes after a loss of power would outlive earlier ones that were lost. Faults: `DISK_FULL`
   * when that is more than is free, `DISK_FAILED`.
   */
  async writing(bytes: number, sync: boolean, effect: () => void): Promise<void> {
    const life = this.#life;
    this.#checkWrite(bytes);
    await this.#pass(sync ? (this.#init.syncMs ?? 0) : 0, bytes);
    if (this.#life !== life) await never();
    this.#checkWrite(bytes);
    effect();
  }

  #checkWrite(bytes: number): void {
    if (this.writeFault !== undefined) throw this.#failed(this.writeFault);
    const freeBytes = this.freeBytes();
    if (bytes > freeBytes) {
      throw new Fault({ code: "DISK_FULL", where: "simulated disk", freeBytes, needBytes: bytes });
    }
  }

  async #pass(ms: number, bytes: number): Promise<void> {
    const duration = ms + (bytes / (this.#init.bytesPerSecond ?? Number.POSITIVE_INFINITY)) * 1000;
    if (duration > 0) await this.#init.clock.sleep(duration * this.slowness);
  }

  #failed(errno: string): Fault {
    return new Fault({ code: "DISK_FAILED", where: "simulated disk", errno });
  }
}

/** The machine went off meanwhile: whoever waits for this does not exist any more. */
function never(): Promise<never> {
  return new Promise<never>(() => {});
}
