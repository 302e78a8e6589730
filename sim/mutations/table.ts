import type { FaultKind } from "../full/plan.ts";

export interface Edit {
  /** From the root of the repository. */
  readonly file: string;
  /** There once in the file, word for word. */
  readonly from: string;
  readonly to: string;
}

/** A bug that somebody could make. The rule that is named must be broken by one of the first seeds. */
export interface Mutation {
  readonly name: string;
  readonly oracle: string;
  readonly withinSeeds: number;
  /** Of a regression that shows it, by name: tried before the seeds, few of which come to what it takes. */
  readonly plan?: string;
  /** What the bug needs to show; all kinds unless told. */
  readonly faults?: readonly FaultKind[];
  /** In every seed snapshots are locked, forgotten and pruned. */
  readonly deletion?: boolean;
  readonly edits: readonly Edit[];
}

const one = (file: string, from: string, to: string): readonly Edit[] => [{ file, from, to }];

/** Beyond all: with it no seed may pass. */
export const CANARY: Mutation = {
  name: "canary",
  oracle: "nothing-broken",
  withinSeeds: 1,
  edits: one(
    "src/exchange/holder.ts",
    "const descriptor = readDescriptor(descriptorBytes, this.#swarm);\n    requireShardIndex",
    'if (body.length > 0) throw new RangeError("canary");\n    const descriptor = readDescriptor(descriptorBytes, this.#swarm);\n    requireShardIndex',
  ),
};

export const MUTATIONS: readonly Mutation[] = [
  {
    name: "receipt before the shard is stored",
    oracle: "receipt-durable",
    withinSeeds: 2,
    edits: one(
      "src/exchange/holder.ts",
      "await this.#puts.run(shardKey(id), () => this.#store(id, descriptor, descriptorBytes, body));",
      "void this.#puts.run(shardKey(id), () => this.#store(id, descriptor, descriptorBytes, body)).catch(() => {});",
    ),
  },
  {
    name: "head acknowledged before it is synced",
    oracle: "receipt-durable",
    withinSeeds: 2,
    edits: one(
      "src/exchange/kept-records.ts",
      "if (ops.length > 0) await this.#store.write(ops, { sync: true });\n      if (ops.length > 0) {",
      "if (ops.length > 0) await this.#store.write(ops, { sync: false });\n      if (ops.length > 0) {",
    ),
  },
  {
    name: "a failed put counts as placed",
    oracle: "honest-status",
    withinSeeds: 10,
    faults: ["cut", "lose-requests", "read-only-disk"],
    edits: one(
      "src/exchange/placer.ts",
      'return { kind: "excluded", reason: this.#reasonOf(error, peer, shard) };',
      'return this.#reasonOf(error, peer, shard) === "full" ? { kind: "excluded", reason: "full" } : { kind: "placed", slot: { peer, timeMs: 0 } };',
    ),
  },
  {
    name: "survives one more than it does",
    oracle: "honest-status",
    withinSeeds: 2,
    edits: one(
      "src/placement/survives.ts",
      "return spare < 0 ? 0 : minGroupsToLose(grouped, spare + 1) - 1;",
      "return spare < 0 ? 0 : minGroupsToLose(grouped, spare + 1);",
    ),
  },
  {
    name: "the site cap is ignored",
    oracle: "site-rule",
    withinSeeds: 20,
    edits: one(
      "src/placement/row.ts",
      "return (this.#atSite.get(node.site) ?? 0) >= this.#cap;",
      "return (this.#atSite.get(node.site) ?? 0) >= 99;",
    ),
  },
  {
    name: "a changed file of the same size is not read again",
    oracle: "identical",
    withinSeeds: 10,
    edits: one(
      "src/snapshot/fingerprint.ts",
      "before.mtimeNs === now.mtimeNs &&\n    before.ctimeNs === now.ctimeNs &&",
      "",
    ),
  },
  {
    name: "the list of snapshots is cut",
    oracle: "snapshot-listed",
    withinSeeds: 10,
    edits: one(
      "src/node/repository.ts",
      "return this.catalog.snapshots();",
      "return (await this.catalog.snapshots()).slice(-1);",
    ),
  },
  {
    name: "a service does not stop",
    oracle: "nothing-leaked",
    withinSeeds: 2,
    edits: one(
      "src/node/status-beat.ts",
      "this.#stopping.abort();\n    this.#unsubscribe?.();\n    await this.#loop;",
      "this.#unsubscribe?.();",
    ),
  },
  {
    name: "randomness past the ports",
    oracle: "determinism",
    withinSeeds: 2,
    edits: one("src/exchange/spool-keeper.ts", "this.#c.rng.float()", "Math.random()"),
  },
  {
    name: "more is released than was acquired",
    oracle: "nothing-broken",
    withinSeeds: 3,
    edits: one("src/base/concurrency.ts", "this.#used -= bytes;", "this.#used -= bytes + 1;"),
  },
  {
    name: "an id that is absent is encoded all the same",
    oracle: "nothing-broken",
    withinSeeds: 60,
    faults: ["die", "restart", "misdirect"],
    edits: one(
      "src/wire/codec.ts",
      '(value) => typeof value === "string", "must be an id"',
      '() => true, "must be an id"',
    ),
  },
  {
    name: "the scrub compares nothing",
    oracle: "scrub-finds",
    withinSeeds: 30,
    faults: ["rot"],
    edits: one(
      "src/scrub/check-shard.ts",
      "if (root === undefined || !equalBytes(root, note.root))",
      "if (root === undefined)",
    ),
  },
  {
    name: "the scrub condemns what is good",
    oracle: "acknowledged-kept",
    withinSeeds: 10,
    edits: one(
      "src/scrub/check-shard.ts",
      "if (!(await components.shards.isSound(id)))",
      "if (await components.shards.isSound(id))",
    ),
  },
  {
    name: "what the map names a holder for is swept, too",
    oracle: "swept-elsewhere",
    withinSeeds: 10,
    edits: [
      ...one("src/sweep/sweeper.ts", "return named === this.#c.self ? undefined : named;", "return named;"),
      ...one("src/upkeep/surplus.ts", 'if (slots[index] === self) return keep("named");', ""),
      ...one("src/upkeep/surplus.ts", 'if (slots.includes(self)) return keep("in-row");', ""),
      ...one(
        "src/sweep/witnesses.ts",
        "peer === undefined ? []",
        "peer === undefined || peer === this.#c.self ? []",
      ),
      ...one(
        "src/upkeep/surplus.ts",
        "const proof = facts.proofs.get(at);",
        "if (peer === facts.self) continue;\n    const proof = facts.proofs.get(at);",
      ),
      ...one(
        "src/upkeep/surplus.ts",
        'return isKept ? { kind: "drop" }',
        'return isKept || promise === undefined ? { kind: "drop" }',
      ),
    ],
  },
  {
    name: "a right answer to an audit counts as wrong",
    oracle: "no-false-blame",
    withinSeeds: 5,
    edits: one(
      "src/audit/judge.ts",
      'return isRight ? { is: "proven" } : { is: "wrong", leaf: bytes, proof };',
      'return isRight ? { is: "wrong", leaf: bytes, proof } : { is: "proven" };',
    ),
  },
  {
    name: "what was spooled is never tried again",
    oracle: "converges",
    withinSeeds: 20,
    faults: ["cut", "crash", "hang"],
    edits: one(
      "src/exchange/spool-keeper.ts",
      "const placed = await this.retry(signal);",
      "const placed = 0;",
    ),
  },
  {
    name: "only data shards are asked for",
    oracle: "restorable",
    withinSeeds: 30,
    faults: ["lose-shards", "die", "rot"],
    edits: one(
      "src/exchange/gather.ts",
      "while (have.size + running.size < job.need && untried[0] !== undefined) start(untried[0]);",
      'while (have.size + running.size < job.need && (untried[0] ?? 99) < job.need) start(must(untried[0], "shard"));',
    ),
  },
  {
    name: "what a holder serves is not checked",
    oracle: "restorable",
    withinSeeds: 40,
    faults: ["rot", "cheat"],
    edits: one(
      "src/exchange/peer-client.ts",
      "verifyRange({\n          root,",
      "1 > 0 || verifyRange({\n          root,",
    ),
  },
  {
    name: "a rolled-back owner goes on as if nothing were",
    oracle: "one-name-one-shard",
    withinSeeds: 60,
    faults: ["roll-back"],
    edits: one(
      "src/exchange/head-keeper.ts",
      "if (this.#ahead.size > 0) throw new Fault",
      "if (this.#ahead.size > 999) throw new Fault",
    ),
  },
  {
    name: "a request waits for ever",
    oracle: "nothing-hangs",
    withinSeeds: 40,
    faults: ["hang"],
    edits: one(
      "src/exchange/peer-client.ts",
      "export const IDLE_TIMEOUT_MS = 20_000;",
      "export const IDLE_TIMEOUT_MS = 2_000_000_000;",
    ),
  },
  {
    name: "everybody has to answer before anything is saved",
    oracle: "can-save",
    withinSeeds: 40,
    faults: ["die"],
    edits: one(
      "src/exchange/head-keeper.ts",
      "if (pool.length > 0 && answered * 2 <= pool.length) {",
      "if (this.pool().length > answered) {",
    ),
  },
  {
    name: "the slot that the recovery key opens is not published",
    oracle: "recoverable",
    withinSeeds: 40,
    faults: ["die"],
    edits: one(
      "src/node/node.ts",
      "if (this.#init.slot !== undefined) await publishSlot(this.records, this.#init.slot);",
      "",
    ),
  },
  {
    name: "nobody looks at quotas",
    oracle: "quota",
    withinSeeds: 40,
    edits: [
      ...one(
        "src/exchange/own-quota.ts",
        "if (this.#usedBytes + bytes > this.#quotaBytes) {",
        "if (this.#usedBytes + bytes > Number.POSITIVE_INFINITY) {",
      ),
      ...one(
        "src/exchange/quota-ledger.ts",
        "if (account.usedBytes + cost > quotaBytes)",
        "if (account.usedBytes + cost > Number.POSITIVE_INFINITY)",
      ),
    ],
  },
  {
    name: "the store takes more than it has room for",
    oracle: "capacity",
    withinSeeds: 60,
    edits: one(
      "sim/shard-store.ts",
      "if (needBytes > freeBytes) {",
      "if (needBytes > freeBytes + 2 ** 40) {",
    ),
  },
  {
    name: "a shard that was placed is placed once more elsewhere",
    oracle: "surplus",
    withinSeeds: 20,
    faults: ["rot", "clock-step"],
    edits: one(
      "src/exchange/placer.ts",
      'if (outcome?.kind === "placed") return this.#acknowledge(job, index, outcome.slot);',
      'if (outcome?.kind === "placed") {\n            const next = slots[(index + 1) % slots.length];\n            if (next !== undefined) await this.#put(job, index, next);\n            return this.#acknowledge(job, index, outcome.slot);\n          }',
    ),
  },
  {
    name: "what repair placed is not written down",
    oracle: "repair-storm",
    withinSeeds: 20,
    faults: ["lose-shards", "lose-files"],
    edits: one(
      "src/repair/own-segment.ts",
      "const row = await commit(c, segment, rebuilt.placed, turn);",
      "const row = undefined;",
    ),
  },
  {
    name: "maps are signed anew under the number of the last ones",
    oracle: "versions",
    withinSeeds: 5,
    edits: one(
      "src/exchange/head-keeper.ts",
      "await catalog.update({ mapEpoch: catalog.state.mapEpoch + 1 }, [",
      "await catalog.update({ mapEpoch: Math.max(1, catalog.state.mapEpoch) }, [",
    ),
  },
  {
    name: "the index names a place before anything is there",
    oracle: "restorable",
    withinSeeds: 60,
    plan: "stored-anew-and-never-placed",
    faults: ["lose-files", "rot", "crash"],
    edits: one(
      "src/snapshot/segment-storer.ts",
      "await this.#c.catalog.segments.put(ref, record, { sync: false });\n    return { ref, closed, entries };",
      "await this.#c.catalog.segments.put(ref, record, { sync: false });\n    await this.#c.catalog.store.write(this.#c.catalog.chunks.putOps(entries, false), { sync: false });\n    return { ref, closed, entries };",
    ),
  },
  {
    name: "a rolled-back home forgets what it was told",
    oracle: "one-name-one-shard",
    withinSeeds: 60,
    plan: "behind-and-cut-off",
    faults: ["roll-back", "flap", "cut"],
    edits: [
      ...one(
        "src/exchange/head-keeper.ts",
        "let answered = 0;",
        "let answered = 0;\n    this.#ahead.clear();",
      ),
      ...one(
        "src/exchange/signed-heads.ts",
        "return own !== undefined && !equalBytes(own[1], hashOf(record));",
        "return own === undefined && false;",
      ),
    ],
  },
  {
    name: "nobody asks holders what they have",
    oracle: "cheaters-found",
    withinSeeds: 40,
    faults: ["cheat"],
    edits: [
      ...one(
        "src/repair/owner-repair.ts",
        "return this.#nowMs - this.#askedMs >= this.#init.claimsEveryMs;",
        "return false;",
      ),
      ...one("src/audit/rounds.ts", "if (this.#c.mayAsk()) await this.turn(signal);", ""),
    ],
  },
  {
    name: "what came back to a full site stays there",
    oracle: "site-rule",
    withinSeeds: 60,
    faults: ["restart", "crash", "pause"],
    edits: one(
      "src/upkeep/slot-work.ts",
      'else if (already >= facts.cap) misplaced.set(slot, "site-rule");',
      "",
    ),
  },
  {
    name: "an empty slot goes to the site of a slow holder",
    oracle: "site-rule",
    plan: "a-slow-holders-site-is-given-away",
    withinSeeds: 60,
    faults: ["pause", "hang", "die"],
    edits: one("src/exchange/placer.ts", "excludedMayReturn: true", "excludedMayReturn: false"),
  },
  {
    name: "the collector ignores locks",
    oracle: "lock-holds",
    withinSeeds: 20,
    deletion: true,
    faults: ["thief"],
    edits: one(
      "src/gc/collector.ts",
      "isBound: locks.lockedForMs(id) > 0 || promises.isPromised(id),",
      "isBound: promises.isPromised(id),",
    ),
  },
  {
    name: "the trash is emptied early",
    oracle: "deleted-rightly",
    withinSeeds: 6,
    deletion: true,
    edits: one(
      "src/upkeep/deletion.ts",
      'state.is === "waiting" ? rules.delayMs : rules.trashMs',
      'state.is === "waiting" ? rules.delayMs : 0',
    ),
  },
  {
    name: "a holder's wall clock says how long something was left out",
    oracle: "deleted-rightly",
    withinSeeds: 6,
    deletion: true,
    edits: one("src/gc/collector.ts", "runningMs: this.#running.ms,", "runningMs: this.#c.clock.wallMs(),"),
  },
  {
    name: "an older live set replaces a newer one",
    oracle: "versions",
    withinSeeds: 20,
    deletion: true,
    faults: ["thief"],
    edits: one(
      "src/gc/live-sets.ts",
      "if (epoch > known && epoch <= known + EPOCH_LEAP_MAX) return;",
      "if (epoch <= known + EPOCH_LEAP_MAX) return;",
    ),
  },
  {
    name: "a live set may leap as far as it likes",
    oracle: "deleted-rightly",
    withinSeeds: 20,
    deletion: true,
    faults: ["thief"],
    edits: one(
      "src/gc/live-sets.ts",
      "if (epoch > known && epoch <= known + EPOCH_LEAP_MAX) return;",
      "if (epoch > known) return;",
    ),
  },
  {
    name: "what the oldest snapshot needs is given up",
    oracle: "deleted-rightly",
    withinSeeds: 20,
    deletion: true,
    edits: one(
      "src/node/reachable.ts",
      "for (const entry of await components.catalog.snapshots())",
      "for (const entry of (await components.catalog.snapshots()).slice(1))",
    ),
  },
  {
    name: "the live set of a life that was fenced goes on counting",
    oracle: "deleted-rightly",
    plan: "given-up-before-a-recovery",
    withinSeeds: 30,
    deletion: true,
    faults: ["thief", "die"],
    edits: one(
      "src/gc/live-sets.ts",
      "const life = this.#c.registry.certifiedIncarnation(owner) ?? incarnation;",
      "const life = incarnation;",
    ),
  },
  {
    name: "the trash is never emptied",
    oracle: "space-returns",
    withinSeeds: 10,
    deletion: true,
    faults: ["cut", "restart"],
    edits: one(
      "src/upkeep/deletion.ts",
      'if (state.is === "trash") return "delete";',
      'if (state.is === "trash") return "stay";',
    ),
  },
  {
    name: "the brake holds nothing",
    oracle: "brake",
    withinSeeds: 10,
    deletion: true,
    faults: ["thief"],
    edits: one(
      "src/gc/brake.ts",
      "return removedBytes + bytes <= baseBytes * this.#rules.brakeShare;",
      "return removedBytes + bytes <= baseBytes + bytes;",
    ),
  },
  {
    name: "what was forgotten is not entered",
    oracle: "trail",
    withinSeeds: 6,
    deletion: true,
    edits: one(
      "src/node/retention.ts",
      'await node.repository.enter("forget", { snapshot, by, ...ofSet });',
      "",
    ),
  },
];
