import { Fault, isFault } from "../base/fault.ts";
import { Catalog, SegmentSet, type SnapshotEntry } from "../catalog/index.ts";
import { isHeadKept, spoolName } from "../exchange/index.ts";
import { joinSwarm, Roster, type TokenContent } from "../membership/index.ts";
import { type MetaOp, type MetaStore, type Network, prefixed, type Spool } from "../ports/index.ts";
import { type Founded, type FoundingComponents, newRepository, slotFor } from "./founding.ts";
import type { Identity } from "./identity.ts";
import { NAMESPACE } from "./ports.ts";

/** Keys deleted with one write. */
const DELETED_AT_ONCE = 1000;

/**
 * Snapshots of a home that are whole nowhere else: some segment of theirs is in the spool, or their head was handed to
 * nobody. What the swarm has of the repository stays there, and comes back with its recovery key.
 */
export async function pendingSnapshots({
  meta,
  spool,
}: {
  meta: MetaStore;
  spool: Pick<Spool, "list">;
}): Promise<SnapshotEntry[]> {
  const catalog = Catalog.open(prefixed(meta, NAMESPACE.catalog));
  if (catalog === undefined) return [];
  const files = new Set((await spool.list()).map(({ name }) => name));
  const entries = await catalog.snapshots();
  const newest = entries.at(-1);
  return entries.filter((entry) => {
    if (entry === newest && !isHeadKept(catalog)) return true;
    const manifest = catalog.manifest(entry.sequence);
    // Without it at hand the snapshot came from the swarm.
    if (manifest === undefined || files.size === 0) return false;
    const needs = [...SegmentSet.fromRanges(manifest.needs)];
    return needs.some((ref) => files.has(spoolName(catalog.segmentId(ref))));
  });
}

/**
 * Takes a node that was fenced or removed back into its swarm under a new owner: its key, and with it the shards that
 * it holds for others, count again. Changes nothing at home but the roster, and may be run again with the same keys.
 * Throws what `joinSwarm` throws, and `NOT_ALLOWED` for a token of another swarm.
 */
export async function joinAgain(
  components: FoundingComponents & { network: Pick<Network, "request">; via: Network["self"] },
  identity: Identity,
  init: { token: TokenContent; name: string; host: string; capacityBytes: number; signal: AbortSignal },
): Promise<Founded> {
  const { meta, clock } = components;
  const roster = await Roster.open({ store: prefixed(meta, NAMESPACE.membership), clock });
  if (roster === undefined || roster.swarm !== init.token.swarm) {
    const reason =
      'the token is of another swarm than the shards that this home holds; "cairn join" with another --home makes a new node';
    throw new Fault({ code: "NOT_ALLOWED", reason });
  }
  const { keys, node, recovery } = identity;
  const admission = await joinSwarm({
    ...components,
    ...init,
    node,
    owner: keys.signer,
    recovery: recovery.identity,
  });
  // Something of it may be older than what is known here; what counts is that this node is in.
  for (const outcome of await roster.applyAll(admission.entries, { replay: true }))
    if (isFault(outcome) && outcome.code !== "RECORD_STALE" && outcome.code !== "TOKEN_USED") throw outcome;
  if (roster.member(identity.peer)?.owner !== keys.owner)
    throw new Fault({ code: "NOT_A_MEMBER", peer: identity.peer });
  return {
    swarm: roster.swarm,
    slot: slotFor(components, identity, roster.swarm, undefined),
    site: admission.certificate.body.site,
    members: roster.members().length,
  };
}

/** What `joinAgain` found before a crash. `NOT_A_MEMBER` if this home's roster does not say so. */
export async function joinedAgain(
  { meta, clock }: Pick<FoundingComponents, "meta" | "clock">,
  identity: Identity,
  slot: Uint8Array,
): Promise<Founded> {
  const roster = await Roster.open({ store: prefixed(meta, NAMESPACE.membership), clock });
  const member = roster?.member(identity.peer);
  if (roster === undefined || member?.owner !== identity.keys.owner)
    throw new Fault({ code: "NOT_A_MEMBER", peer: identity.peer });
  return { swarm: roster.swarm, slot, site: member.site, members: roster.members().length };
}

/** An empty repository of the new owner in the place of the old one. Run again after a crash, it ends the same. */
export async function replaceRepository(
  components: FoundingComponents & { readonly spool: Pick<Spool, "list" | "delete"> },
  identity: Identity,
): Promise<void> {
  const catalog = prefixed(components.meta, NAMESPACE.catalog);
  await clear(catalog);
  // What the former owner's audits found is about shards that the new one does not have.
  await clear(prefixed(components.meta, NAMESPACE.audit));
  await clear(prefixed(components.meta, NAMESPACE.schedule));
  for (const { name } of await components.spool.list()) await components.spool.delete(name);
  await newRepository(components, identity);
}

async function clear(store: MetaStore): Promise<void> {
  for (;;) {
    const ops: MetaOp[] = [];
    for await (const [key] of store.scan({ limit: DELETED_AT_ONCE }))
      ops.push({ type: "delete", key: key.slice() });
    if (ops.length === 0) return;
    await store.write(ops, { sync: true });
  }
}
