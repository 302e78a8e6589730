import { z } from "zod";
import { concatBytes, utf8 } from "../base/bytes.ts";
import { isFault } from "../base/fault.ts";
import { type PeerId, PUBLIC_KEY_BYTES, peerIdOf, publicKeyOfPeer } from "../base/ids.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { type Hearings, type NodeLiveness, REPORTS_MAX, RUNS_MAX } from "../upkeep/index.ts";
import { codec, count, OWN_SHAPE, peerId } from "../wire/codec.ts";

const NODES = utf8("n");
const NODES_END = utf8("o");
const OWN_KEY = utf8("own");

const known = codec(
  "what is known of a node",
  z
    .object({
      v: z.literal(1),
      /** Times through which it was heard without a gap, rising. */
      runs: z.array(z.tuple([count, count])).max(RUNS_MAX),
      /** Of its newest beat. */
      beatEpoch: count.exactOptional(),
      drainingSinceMs: count.exactOptional(),
      outage: z.tuple([count, count]).exactOptional(),
      /** Observer, silent since, said at. */
      reports: z.array(z.tuple([peerId, count, count])).max(REPORTS_MAX),
      state: z.enum(["alive", "draining", "unreachable", "absent", "lost"]),
      sinceMs: count,
      /** `lost` because administrators say so. */
      declared: z.literal(true).exactOptional(),
    })
    .strict(),
  OWN_SHAPE,
);

const own = codec(
  "own intentions",
  z
    .object({
      v: z.literal(1),
      draining: z.literal(true).exactOptional(),
      outageUntilMs: count.exactOptional(),
    })
    .strict(),
);

export interface KnownNode {
  readonly hearings: Hearings;
  readonly state: NodeLiveness["state"];
  readonly sinceMs: number;
  readonly isDeclaredLost?: true;
}

export interface OwnIntentions {
  readonly draining: boolean;
  readonly outageUntilMs: number | undefined;
}

/** What cannot be read, or is of a later version, is heard anew. */
export async function loadKnown(store: MetaStore): Promise<Map<PeerId, KnownNode>> {
  const nodes = new Map<PeerId, KnownNode>();
  for await (const [key, value] of store.scan({ from: NODES, to: NODES_END })) {
    const node = readKnown(value);
    if (node !== undefined && key.length === NODES.length + PUBLIC_KEY_BYTES)
      nodes.set(peerIdOf(key.slice(NODES.length)), node);
  }
  return nodes;
}

function readKnown(value: Uint8Array): KnownNode | undefined {
  try {
    const { runs, beatEpoch, drainingSinceMs, outage, reports, state, sinceMs, declared } =
      known.decode(value);
    const hearings: Hearings = {
      runs: runs.map(([fromMs, toMs]) => ({ fromMs, toMs })),
      beatEpoch: beatEpoch ?? -1,
      drainingSinceMs,
      outage: outage === undefined ? undefined : { fromMs: outage[0], untilMs: outage[1] },
      reports: reports.map(([observer, silentSinceMs, atMs]) => ({ observer, silentSinceMs, atMs })),
    };
    return { hearings, state, sinceMs, ...(declared === undefined ? {} : { isDeclaredLost: declared }) };
  } catch (error) {
    if (isFault(error, "FORMAT_INVALID")) return undefined;
    throw error;
  }
}

export function knownOp(peer: PeerId, node: KnownNode): MetaOp {
  const { hearings, state, sinceMs, isDeclaredLost } = node;
  const { runs, beatEpoch, drainingSinceMs, outage, reports } = hearings;
  const value = known.encode({
    v: 1,
    runs: runs.map(({ fromMs, toMs }): [number, number] => [fromMs, toMs]),
    ...(beatEpoch < 0 ? {} : { beatEpoch }),
    ...(drainingSinceMs === undefined ? {} : { drainingSinceMs }),
    ...(outage === undefined ? {} : { outage: [outage.fromMs, outage.untilMs] as [number, number] }),
    reports: reports.map(({ observer, silentSinceMs, atMs }): [PeerId, number, number] => [
      observer,
      silentSinceMs,
      atMs,
    ]),
    state,
    sinceMs,
    ...(isDeclaredLost === undefined ? {} : { declared: isDeclaredLost }),
  });
  return { type: "put", key: nodeKey(peer), value };
}

export function forgetOp(peer: PeerId): MetaOp {
  return { type: "delete", key: nodeKey(peer) };
}

function nodeKey(peer: PeerId): Uint8Array {
  return concatBytes(NODES, publicKeyOfPeer(peer));
}

export function loadOwn(store: MetaStore): OwnIntentions {
  const bytes = store.get(OWN_KEY);
  if (bytes === undefined) return { draining: false, outageUntilMs: undefined };
  const { draining, outageUntilMs } = own.decode(bytes);
  return { draining: draining === true, outageUntilMs };
}

/** Synced when it resolves. */
export async function saveOwn(store: MetaStore, { draining, outageUntilMs }: OwnIntentions): Promise<void> {
  const value = own.encode({
    v: 1,
    ...(draining ? { draining: true as const } : {}),
    ...(outageUntilMs === undefined ? {} : { outageUntilMs }),
  });
  await store.write([{ type: "put", key: OWN_KEY, value }], { sync: true });
}
