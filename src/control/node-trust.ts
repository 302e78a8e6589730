import { toHex } from "../base/bytes.ts";
import { type PeerId, peerIdOf } from "../base/ids.ts";
import type { Node, TrustStanding, Word } from "../node/index.ts";
import { iso } from "./node-json.ts";
import type { TrustInfo } from "./trust-api.ts";

/** Shown of one member; the newest. */
const SAID_MAX = 20;
const KEY_HEX_SHOWN = 16;

/** As part of what is told of a peer: nothing where nothing is said and nothing was found. */
export function trustOf(node: Node, peer: PeerId): { trust?: TrustInfo } {
  const trust = trustJson(node, peer);
  return trust === undefined ? {} : { trust };
}

function trustJson(node: Node, peer: PeerId): TrustInfo | undefined {
  const standing = node.audits.trust.standing(peer);
  const { trust, own, words } = standing;
  if (trust.kind === "trusted" && words.length === 0) return undefined;
  return {
    state: trust.kind,
    ...(trust.kind === "trusted" ? {} : { since: iso(trust.sinceMs) }),
    ...reasonOf(standing),
    own: own !== undefined,
    said: words.slice(-SAID_MAX).map((word) => ({
      kind: word.kind,
      by: nameOf(node, word),
      at: iso(word.atMs),
      reason: word.reason,
    })),
  };
}

function reasonOf({ trust, words }: TrustStanding): { reason?: string } {
  if (trust.kind === "suspect") return { reason: trust.reason };
  const doubt = words.find(({ kind }) => kind === "doubt");
  return trust.kind === "doubted" && doubt !== undefined ? { reason: doubt.reason } : {};
}

function nameOf(node: Node, { kind, by }: Word): string {
  if (kind === "clearance") return toHex(by).slice(0, KEY_HEX_SHOWN);
  const peer = peerIdOf(by);
  return node.roster.member(peer)?.name ?? peer;
}
