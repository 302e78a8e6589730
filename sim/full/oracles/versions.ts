import { must } from "../../../src/base/assert.ts";
import { toHex } from "../../../src/base/bytes.ts";
import { ownerIdOf } from "../../../src/base/ids.ts";
import { type Signed, signedHash } from "../../../src/crypto/signed.ts";
import { RECORD_TYPES } from "../../../src/membership/index.ts";
import { NAMESPACE } from "../../../src/node/index.ts";
import { classFromData } from "../../../src/placement/index.ts";
import { dataAnswer, dataRequest } from "../../../src/wire/data.ts";
import { mapBody } from "../../../src/wire/head.ts";
import { decodeSigned } from "../../../src/wire/signed.ts";
import type { Answered, SimMachine } from "../machine.ts";

const KEPT = must(NAMESPACE.kept[0], "namespace");
/** More records than a holder of this world keeps. */
const PAGE = 100_000;

/** What one node was seen to know. */
interface Known {
  /** Of each owner, the generation of its member's certificate. */
  readonly members: Map<string, number>;
  /** Of records that everybody hears of, the epoch; of the program that runs since `sinceMs`. */
  readonly records: Map<string, number>;
  sinceMs: number;
}

/**
 * No version goes back, and no number stands for two things: heads and maps as they are handed out and as they are kept, the slots
 * of their rows, members and records. Machines whose disk was put back to an earlier time are left out.
 */
export class Versions {
  /** Which statement an owner made under a number. */
  readonly #said = new Map<string, string>();
  /** Of each owner and kind, the highest number that each holder has acknowledged. */
  readonly #acknowledged = new Map<SimMachine, Map<string, number>>();
  /** Of a slot of a row, the owner's version and who had it by that. */
  readonly #slots = new Map<string, { readonly epoch: number; readonly version: number }>();
  readonly #named = new Map<string, string | undefined>();
  readonly #known = new Map<SimMachine, Known>();

  /** An owner hands records to a holder. Says what is wrong with them. */
  handed({ machine, request, answer }: Answered, isTrusted: (owner: string) => boolean): string | undefined {
    const asked = dataRequest.decode(request.head);
    if (asked.t !== "keep") return undefined;
    const isKept = dataAnswer.decode(answer.head).t === "kept";
    for (const bytes of asked.records) {
      const record = decodeSigned(bytes);
      if (!isTrusted(ownerIdOf(record.signer))) continue;
      const name = nameOf(record);
      const wrong = this.#twice(record, name) ?? (record.type === "map" ? this.#rows(record) : undefined);
      if (wrong !== undefined) return wrong;
      if (!isKept) continue;
      const acknowledged = this.#acknowledged.get(machine) ?? new Map<string, number>();
      this.#acknowledged.set(machine, acknowledged);
      acknowledged.set(name, Math.max(acknowledged.get(name) ?? 0, record.epoch));
    }
    return undefined;
  }

  /** Looks at what a machine's disk and its program have. Says what has gone back. */
  look(machine: SimMachine, honest: ReadonlySet<string>): string | undefined {
    return this.#kept(machine) ?? this.#members(machine) ?? this.#records(machine, honest);
  }

  #twice(record: Signed, name: string): string | undefined {
    const key = `${name}/${record.epoch}`;
    const hash = toHex(signedHash(record));
    const known = this.#said.get(key) ?? hash;
    this.#said.set(key, known);
    return known === hash ? undefined : `two different statements were signed as ${key}`;
  }

  /** Slots of an owner's rows: a later map has no earlier version, and one version names one holder. */
  #rows(record: Signed): string | undefined {
    const { classId, rows } = classFromData(mapBody.decode(record.body));
    const life = `${ownerIdOf(record.signer).slice(0, 12)}/${record.incarnation.slice(0, 8)}/${classId}`;
    for (const [partition, row] of rows.rows.entries())
      for (const { fromSegment, slots } of row)
        for (const [slot, { peer, ownerVersion }] of slots.entries()) {
          const at = `${life}/${partition}/${fromSegment}#${slot}`;
          const before = this.#slots.get(at);
          if (before !== undefined && before.epoch < record.epoch && before.version > ownerVersion)
            return `${at} goes back from version ${before.version} to ${ownerVersion}`;
          if (before === undefined || before.epoch < record.epoch)
            this.#slots.set(at, { epoch: record.epoch, version: ownerVersion });
          const version = `${at} ${ownerVersion}`;
          if (this.#named.has(version) && this.#named.get(version) !== peer)
            return `${version} names two holders`;
          this.#named.set(version, peer);
        }
    return undefined;
  }

  #kept(machine: SimMachine): string | undefined {
    const acknowledged = this.#acknowledged.get(machine);
    if (acknowledged === undefined) return undefined;
    const highest = new Map<string, number>();
    const range = { from: Uint8Array.of(KEPT), to: Uint8Array.of(KEPT + 1) };
    for (const [, value] of machine.metaDisk.page(range, PAGE)) {
      // Beside a head lies when it came in.
      if (value.length <= 8) continue;
      const record = decodeSigned(value);
      const name = nameOf(record);
      highest.set(name, Math.max(highest.get(name) ?? 0, record.epoch));
    }
    for (const [name, epoch] of acknowledged) {
      const has = highest.get(name);
      if (has === undefined || has < epoch)
        return `${name} was kept with number ${epoch}, and is ${has ?? "gone"} now`;
    }
    return undefined;
  }

  #members(machine: SimMachine): string | undefined {
    const { members } = this.#of(machine);
    for (const { owner, generation } of machine.node.roster.members()) {
      const before = members.get(owner);
      if (before !== undefined && before > generation)
        return `the member of ${owner.slice(0, 12)} is of generation ${generation} again, after ${before}`;
      members.set(owner, generation);
    }
    const now = new Set<string>(machine.node.roster.members().map(({ owner }) => owner));
    const gone = [...members.keys()].find(
      (owner) => !now.has(owner) && !machine.node.roster.former().some((one) => one.owner === owner),
    );
    return gone === undefined ? undefined : `the member of ${gone.slice(0, 12)} is not known any more`;
  }

  /** Not synced each time: a program that lost its power may hear of some once more. */
  #records(machine: SimMachine, honest: ReadonlySet<string>): string | undefined {
    const known = this.#of(machine);
    if (known.sinceMs !== machine.onSinceMs) known.records.clear();
    known.sinceMs = machine.onSinceMs;
    const { records } = machine.node;
    for (const type of RECORD_TYPES)
      for (const { signer, incarnation } of records.ofType(type)) {
        const epoch = records.epochOf({ type, signer, incarnation });
        if (epoch === undefined) continue;
        const name = `${type} of ${toHex(signer).slice(0, 12)}/${incarnation.slice(0, 8)}`;
        if ((known.records.get(name) ?? 0) > epoch)
          return `${name} goes back from ${known.records.get(name)} to ${epoch}`;
        known.records.set(name, epoch);
      }
    const fork = records.forks().find(({ signer }) => honest.has(toHex(signer)));
    if (fork === undefined) return undefined;
    return `two ${fork.type} records of ${toHex(fork.signer).slice(0, 12)} have the number ${fork.epoch}`;
  }

  #of(machine: SimMachine): Known {
    const known = this.#known.get(machine) ?? { members: new Map(), records: new Map(), sinceMs: 0 };
    this.#known.set(machine, known);
    return known;
  }
}

/** Of one owner and life, all heads, or all maps of one class. */
function nameOf(record: Signed): string {
  const classId = record.type === "map" ? ` ${mapBody.decode(record.body).class}` : "";
  return `${record.type}${classId} of ${ownerIdOf(record.signer).slice(0, 12)}/${record.incarnation.slice(0, 8)}`;
}
