import type { z } from "zod";
import { movesCodec } from "../../src/catalog/moves.ts";
import {
  catalogRootCodec,
  indexRunCodec,
  manifestCodec,
  snapshotEntryCodec,
  snapshotPageCodec,
} from "../../src/catalog/records.ts";
import * as audit from "../../src/wire/audit.ts";
import type { Codec } from "../../src/wire/codec.ts";
import * as data from "../../src/wire/data.ts";
import * as descriptor from "../../src/wire/descriptor.ts";
import * as head from "../../src/wire/head.ts";
import * as liveSet from "../../src/wire/live-set.ts";
import * as lock from "../../src/wire/lock.ts";
import * as losses from "../../src/wire/losses.ts";
import * as membership from "../../src/wire/membership.ts";
import * as promise from "../../src/wire/promise.ts";
import * as proposal from "../../src/wire/proposal.ts";
import * as recover from "../../src/wire/recover.ts";
import * as recoveryUse from "../../src/wire/recovery-use.ts";
import * as repair from "../../src/wire/repair.ts";
import * as silence from "../../src/wire/silence.ts";
import * as sync from "../../src/wire/sync.ts";
import * as ticks from "../../src/wire/ticks.ts";
import * as trust from "../../src/wire/trust.ts";

export type AnyCodec = Pick<Codec<never>, "name" | "schema"> & {
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
};

function isCodec(value: unknown): value is AnyCodec {
  return (
    typeof value === "object" && value !== null && "schema" in value && "encode" in value && "decode" in value
  );
}

const MODULES: readonly Readonly<Record<string, unknown>>[] = [
  audit,
  data,
  descriptor,
  head,
  liveSet,
  lock,
  losses,
  membership,
  promise,
  proposal,
  recover,
  recoveryUse,
  repair,
  silence,
  sync,
  ticks,
  trust,
];

/** Every structure of src/wire that is encoded by itself: one that is added there is found here. */
export const WIRE_CODECS: readonly AnyCodec[] = MODULES.flatMap((module) => Object.values(module)).filter(
  isCodec,
);

/** Requests and answers: these get the full number. */
export const PROTOCOL_CODECS: ReadonlySet<unknown> = new Set<unknown>([
  data.dataRequest,
  data.dataAnswer,
  membership.joinRequestCodec,
  membership.joinAnswerCodec,
  recover.recoverRequest,
  recover.recoverAnswer,
  sync.syncRequestCodec,
  sync.syncAnswerCodec,
]);

export const CATALOG_CODECS: readonly AnyCodec[] = [
  manifestCodec,
  snapshotEntryCodec,
  snapshotPageCodec,
  indexRunCodec,
  catalogRootCodec,
  movesCodec,
].filter(isCodec);

/** Values that a schema alone does not make: what its refinements demand between fields. */
export const ADJUST: ReadonlyMap<unknown, (value: Record<string, unknown>) => void> = new Map([
  [
    descriptor.descriptorCodec,
    (value: Record<string, unknown>) => {
      const roots = value["roots"] as readonly Uint8Array[];
      value["k"] = Math.max(1, roots.length - 1);
      value["m"] = roots.length - Number(value["k"]);
      value["shardBytes"] = Math.ceil(Number(value["segmentBytes"]) / Number(value["k"]));
    },
  ],
]);

export type Schema = z.ZodType;
