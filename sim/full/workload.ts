import { isFault } from "../../src/base/fault.ts";
import { type BytePath, bytePathOf, joinPath } from "../../src/base/paths.ts";
import type { SnapshotResult } from "../../src/node/index.ts";
import { SeededRng } from "../rng.ts";
import { doDeleting, SET_TAG } from "./deleting.ts";
import type { SimMachine } from "./machine.ts";
import { checkAcknowledged, checkPlacement } from "./oracles/honest.ts";
import { compareFiles } from "./oracles/identical.ts";
import type { Step } from "./plan.ts";
import { recoverOwner } from "./recovering.ts";
import type { TrueSnapshot } from "./truth.ts";
import type { World } from "./world.ts";

/** Where every simulated machine has what it saves. */
export const SOURCE = bytePathOf("/data");
const FILE_BYTES_MAX = 40_000;
const FILES_MAX = 40;

interface SaveStep {
  readonly changes: number;
  readonly wait: "safe" | "queued";
  readonly lockMs?: number | undefined;
}

/** Does the steps of a plan, each in the process that runs on its machine then. */
export class Workload {
  readonly #world: World;
  #restores = 0;

  constructor(world: World) {
    this.#world = world;
  }

  schedule(originMs: number): void {
    const { plan, scheduler } = this.#world;
    for (const step of plan.workload) scheduler.at(originMs + step.atMs, () => this.#do(step));
  }

  #do(step: Step): void {
    const machine = this.#world.machines[step.node];
    if (machine === undefined) return;
    // Whoever does this is a person at that machine: nothing runs there while it is off.
    const isOff = !machine.isOn || machine.process.isPaused;
    if (step.do === "recover") this.#recover(machine, step.via);
    else if (isOff) this.#world.label(`${step.do}: machine is off`);
    else if (step.do === "snapshot") this.snapshot(machine, step);
    else if (step.do === "restore")
      this.#world.run(machine, "restore", () => this.restore(machine, step.back));
    else if (step.do === "verify")
      this.#world.run(machine, "verify", () => this.#verify(machine, step.readData));
    else this.#world.run(machine, step.do, () => doDeleting(this.#world, machine, step));
  }

  /** Changes files, then saves them. While one snapshot reads the files, they stay as they are. */
  snapshot(machine: SimMachine, step: SaveStep): void {
    if (this.#world.underWay(machine).some(({ what }) => what === "snapshot")) {
      this.#world.label("snapshot: another one is under way");
      return;
    }
    changeFiles(machine, step.changes);
    const files = machine.files.contents(SOURCE);
    this.#world.run(machine, "snapshot", () => this.#save(machine, files, step));
  }

  async #save(
    machine: SimMachine,
    files: ReadonlyMap<BytePath, Uint8Array>,
    { wait, lockMs }: SaveStep,
  ): Promise<void> {
    const { node } = machine;
    const source = { kind: "paths" as const, paths: [SOURCE], excludes: [], oneFileSystem: false };
    const { signal } = new AbortController();
    const tags = this.#world.plan.world.collection === undefined ? [] : [SET_TAG];
    const result = await node.repository.snapshot({
      ...{ source, tags, wait, signal, onProgress: () => {} },
      ...(lockMs === undefined ? {} : { lockMs }),
    });
    const { truth, scheduler } = this.#world;
    this.#world.label(`snapshot ${result.protection.state}`);
    const kept = await truth.acknowledged(node, result.entry, files, {
      atMs: scheduler.nowMs,
      isKept: result.protection.state === "safe" || result.protection.state === "full",
    });
    this.#check(machine, result, kept);
  }

  #check(machine: SimMachine, result: SnapshotResult, kept: TrueSnapshot): void {
    const { report } = result;
    if (report.unreadable.count > 0 || report.changed.count > 0)
      this.#world.violate("identical", "files that nobody touched were unreadable or changed", machine);
    // What a thief gives up goes, and who knows of no thief does not know it.
    if (kept.fate === "robbed") {
      this.#world.label("snapshot beside a thief");
      return;
    }
    checkAcknowledged(this.#world, machine, kept, result.protection);
    checkPlacement(this.#world, machine, kept);
  }

  /** Restores one of the acknowledged snapshots, and compares every byte. */
  async restore(machine: SimMachine, back: number): Promise<void> {
    const { owner } = machine.node.repository.catalog;
    const mine = this.#world.truth.kept(owner);
    const snapshot = mine.at(-1 - back) ?? mine[0];
    if (snapshot !== undefined) await this.restoreThis(machine, snapshot);
  }

  async restoreThis(machine: SimMachine, snapshot: TrueSnapshot): Promise<void> {
    const { repository } = machine.node;
    const known = (await repository.snapshots()).find(
      (entry) => Buffer.from(entry.id).toString("hex") === snapshot.id,
    );
    if (known === undefined) {
      const short = snapshot.id.slice(0, 12);
      // A home that was put back to an earlier time knows nothing of what came after. It must not take itself for the newest
      // where the pool had it, too.
      const mayNotKnow = machine.wasRolledBack && !(repository.isCurrent && snapshot.isKept);
      if (snapshot.fate !== "kept") this.#world.label("restore: it was forgotten meanwhile");
      else if (mayNotKnow) this.#world.label("restore: a rolled-back home does not list it");
      else this.#world.violate("snapshot-listed", `the acknowledged ${short} is not listed`, machine);
      return;
    }
    const target = bytePathOf(`/restore/${++this.#restores}`);
    const { report } = await repository.restore({
      snapshot: known,
      selection: { includes: [], excludes: [] },
      target,
      overwrite: "if-changed",
      delete: false,
      dryRun: false,
      partial: false,
      signal: new AbortController().signal,
      onProgress: () => {},
    });
    compareFiles(
      this.#world,
      machine,
      snapshot,
      machine.files.contents(joinPath(target, bytePathOf("data"))),
    );
    if (report.problemCount > 0)
      this.#world.violate(
        "identical",
        `a restore that went through has ${report.problemCount} problems`,
        machine,
      );
    machine.files.remove(target);
  }

  async #verify(machine: SimMachine, readData: boolean): Promise<void> {
    const { repository } = machine.node;
    const entries = (await repository.snapshots()).slice(-3);
    const { signal } = new AbortController();
    if (entries.length === 0) return;
    const outcome = await repository.verify(entries, { readData, signal, onShard: () => {} });
    for (const { shard, peer } of outcome.corrupt) {
      const holder = this.#world.byPeer(peer);
      if (holder?.isHonest === true && this.#world.truth.isIntact(holder, shard))
        this.#world.violate(
          "no-false-blame",
          `verify calls an intact shard of ${holder.name} corrupt`,
          machine,
        );
    }
  }

  #recover(lost: SimMachine, viaIndex: number): void {
    const via = this.#world.machines[viaIndex];
    if (!lost.isDead || via?.isOn !== true || lost.isReplaced) {
      this.#world.label("recover: left out");
      return;
    }
    void this.recover(lost, via).catch((error: unknown) => {
      this.#world.label(`recover: ${isFault(error) ? error.code : "failed"}`);
    });
  }

  /** On a new machine at the same site. */
  async recover(lost: SimMachine, via: SimMachine): Promise<SimMachine> {
    return recoverOwner(this.#world, lost, via);
  }
}

/** The same changes for the same seed and the same files. */
export function changeFiles(machine: SimMachine, changes: number): void {
  const rng = new SeededRng(`${machine.init.rng.fork("files").uint32()}/${changes}`);
  const known = [...machine.files.contents(SOURCE)].map(([path]) => path);
  for (let left = 1 + rng.below(8); left > 0; left--) {
    const old = known.length > 0 && rng.chance(0.5) ? rng.pick(known) : undefined;
    const path =
      old ??
      bytePathOf(`d${rng.below(4)}/${known.length >= FILES_MAX ? rng.below(FILES_MAX) : rng.uint32()}`);
    const full = joinPath(SOURCE, path);
    if (old !== undefined && rng.chance(0.2)) machine.files.remove(full);
    else machine.files.write(full, contentsOf(rng, machine.files.contents(SOURCE).get(path)));
  }
}

/** New bytes, or the old ones with a piece exchanged. Half of them compress well. */
function contentsOf(rng: SeededRng, old: Uint8Array | undefined): Uint8Array {
  if (old !== undefined && old.length > 0 && rng.chance(0.7)) {
    const changed = old.slice();
    changed.set(rng.bytes(Math.min(200, old.length)), rng.below(Math.max(1, old.length - 200)));
    return changed;
  }
  const bytes = Math.floor(FILE_BYTES_MAX * rng.float() ** 3);
  return rng.chance(0.5) ? rng.bytes(bytes) : new Uint8Array(bytes).fill(rng.below(256));
}
