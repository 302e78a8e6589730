import { equalBytes, toHex } from "../base/bytes.ts";
import type { OwnerId } from "../base/ids.ts";
import { formatBytes } from "../base/units.ts";
import type { Deciding, Deed, Node, ProposalStanding } from "../node/index.ts";
import type * as admin from "./admin-api.ts";
import { iso } from "./node-json.ts";

/** What an administrator reads before signing: from the entries themselves, never from what their author says of them. */

export function proposalOf(node: Node, deciding: Deciding | undefined): { proposal?: admin.ProposalInfo } {
  if (deciding === undefined || deciding.outcome === "applied") return {};
  return { proposal: proposalJson(node, deciding.proposal) };
}

export function proposalJson(node: Node, standing: ProposalStanding): admin.ProposalInfo {
  const { proposal, state, why, signers, refusers, missing } = standing;
  const names = new Map(
    node.administrators.list().flatMap(({ key, member, isOwn }) => {
      return [[toHex(key), { name: member?.name, isOwn }] as const];
    }),
  );
  const voter = (key: Uint8Array) => {
    const name = names.get(toHex(key))?.name;
    return { key: toHex(key), ...(name === undefined ? {} : { name }) };
  };
  return {
    id: toHex(proposal.id),
    kind: proposal.deed.kind,
    text: deedText(node, proposal.deed),
    state,
    ...(why === undefined ? {} : { why }),
    signedBy: signers.map(voter),
    refusedBy: refusers.map(voter),
    missing,
    signedHere: signers.some((key) => names.get(toHex(key))?.isOwn === true),
    proposedAt: iso(proposal.issuedMs),
    expiresAt: iso(proposal.expiresMs),
  };
}

const KEY_CHARACTERS = 12;
const keyText = (key: Uint8Array): string => `key ${toHex(key).slice(0, KEY_CHARACTERS)}`;
const quotaText = (bytes: number | undefined): string => (bytes === undefined ? "none" : formatBytes(bytes));

export function deedText(node: Node, deed: Deed): string {
  switch (deed.kind) {
    case "removal": {
      const { owner, peer, barsOwner, reason } = deed.removal.body;
      const bar = barsOwner ? ", and bar its recovery key" : "";
      const said = reason === "" ? "" : ` ("${reason}")`;
      return `remove ${nameOf(node, owner, peer)} from the swarm${bar}${said}`;
    }
    case "certificate":
      return certificateText(node, deed);
    case "withdrawal":
      return `take back: ${deed.withdrawals.map(({ body }) => waitingText(node, body.entry)).join("; ")}`;
    case "invitation": {
      const [first] = deed.delegations;
      if (first === undefined) return "let nobody in";
      const { site, expiresMs, quotaBytes } = first.body;
      const nodes = deed.delegations.length === 1 ? "1 new node" : `${deed.delegations.length} new nodes`;
      return `let ${nodes} in at site ${site} until ${iso(expiresMs)}, quota ${quotaText(quotaBytes)}`;
    }
    case "administrators":
      return administratorsText(node, deed);
  }
}

function nameOf(node: Node, owner: string, peer: string): string {
  const known =
    node.roster.members().find((member) => member.owner === owner) ??
    node.roster.former().find((member) => member.owner === owner);
  return known === undefined ? `node ${peer}` : `${known.name} (${known.site})`;
}

function waitingText(node: Node, hash: Uint8Array): string {
  const waiting = node.roster.pending().find((one) => equalBytes(one.hash, hash));
  if (waiting === undefined) return `decision ${toHex(hash).slice(0, KEY_CHARACTERS)}`;
  const name = node.roster.member(waiting.peer)?.name ?? waiting.peer;
  if (waiting.kind === "removal") return `the removal of ${name}`;
  if (waiting.kind === "site-move") return `the move of ${name} from ${waiting.from} to ${waiting.to}`;
  return `the new certificate of ${name}`;
}

/** The node as it was before a certificate of this generation. */
function before(node: Node, owner: OwnerId, generation: number) {
  const { roster } = node;
  const member = roster.memberOfOwner(owner);
  if (member !== undefined && member.generation < generation) return member;
  const older = roster.certificatesOf(owner).find(({ body }) => body.generation < generation)?.body;
  return older === undefined ? undefined : { ...older, quotaBytes: older.quotaBytes };
}

/** Everything in which it differs from the one before. */
function certificateText(
  node: Node,
  { certificate: { body } }: Extract<Deed, { kind: "certificate" }>,
): string {
  const member = before(node, body.owner, body.generation);
  if (member === undefined) {
    const what = `${body.name} (${body.peer}, ${body.holder ? "holder" : "no holder"})`;
    return `let ${what} in at site ${body.site}, quota ${quotaText(body.quotaBytes)}`;
  }
  const changes: string[] = [];
  const differs = (what: string, before: string, after: string): void => {
    if (before !== after) changes.push(`${what} from ${before} to ${after}`);
  };
  differs("site", member.site, body.site);
  differs("quota", quotaText(member.quotaBytes), quotaText(body.quotaBytes));
  differs("name", member.name, body.name);
  differs("host", member.host, body.host);
  differs("capacity", formatBytes(member.capacityBytes), formatBytes(body.capacityBytes));
  differs("node", member.peer, body.peer);
  differs("recovery key", keyText(member.recovery), keyText(body.recovery));
  if (member.holder !== body.holder) {
    changes.push(
      body.holder ? "it keeps shards of others from now on" : "it keeps no shards of others any more",
    );
  } else if (!equalBytes(member.nodeNumber, body.nodeNumber)) {
    changes.push("another node number, which moves what new rows place on it");
  }
  const what = changes.length === 0 ? "a new certificate, nothing else" : changes.join(", ");
  return `change ${member.name} (${member.site}): ${what}`;
}

function administratorsText(node: Node, { change }: Extract<Deed, { kind: "administrators" }>): string {
  const { administrators: after, threshold, number } = change.body;
  const { administrators } = node;
  const { keys: before, threshold: old } = node.roster.administratorSets()[number - 1] ?? administrators.set;
  const named = (key: Uint8Array): string => {
    const member = node.roster.members().find(({ peer }) => {
      const said = node.view.statusOf(peer)?.administrator;
      return said !== undefined && equalBytes(said, key);
    });
    return member === undefined ? keyText(key) : `${member.name} (${keyText(key)})`;
  };
  const has = (keys: readonly Uint8Array[], key: Uint8Array) => keys.some((one) => equalBytes(one, key));
  const parts = [
    ...after.filter((key) => !has(before, key)).map((key) => `make ${named(key)} an administrator`),
    ...before.filter((key) => !has(after, key)).map((key) => `take ${named(key)} its administrator's key`),
  ];
  if (threshold !== old)
    parts.push(`${threshold} of ${after.length} administrators must sign, instead of ${old}`);
  return parts.length === 0 ? "put the administrators in another order" : parts.join("; ");
}
