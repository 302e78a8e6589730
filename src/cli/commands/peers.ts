import { z } from "zod";
import type { PeerInfo } from "../../control/results.ts";
import { pendingLine } from "../decision-text.ts";
import { EXIT } from "../exit-codes.ts";
import { listing, optionalBytes, shortTime, table } from "../text.ts";
import { trustLines } from "../trust-text.ts";
import type { AddCommand } from "./add-command.ts";
import { addPeersPlan } from "./peers-plan.ts";

const HEADER = [
  "NAME",
  "SITE",
  "STATE",
  "SINCE (UTC)",
  "HOLDER",
  "USED",
  "CAPACITY",
  "QUOTA",
  "LAST SEEN (UTC)",
  "VERSION",
  "PEER",
];

export const peersCommand: AddCommand = (program, bind) => {
  const command = program.command("peers").description("every node of the swarm");
  bind(command, z.object({}), [0, 1, 5, 6, 10], async (session) => {
    const { peers } = await session.daemon.peers({}, session.context);
    await session.result(peers, () => {
      const rows = peers.map((peer) => [
        peer.name,
        peer.site,
        stateText(peer),
        sinceText(peer),
        peer.holder ? "yes" : peer.awaitsConfirmation === true ? "to be confirmed" : "no",
        optionalBytes(peer.usedBytes),
        optionalBytes(peer.capacityBytes),
        optionalBytes(peer.quotaBytes),
        peer.lastSeen === undefined ? "-" : shortTime(peer.lastSeen),
        `${peer.version?.replace(/^cairn /, "") ?? "-"}${peer.holdsBack === true ? " (holds back)" : ""}`,
        peer.peerId,
      ]);
      const pending = peers.flatMap((peer) => peer.pending ?? []);
      const waiting = pending.length === 0 ? "" : `\n${listing("Waiting:", pending.map(pendingLine))}`;
      const apart = apartLines(peers);
      const unmet = apart.length === 0 ? "" : `\n${listing("Cannot reach each other:", apart)}`;
      const words = peers.flatMap(({ name, trust }) => (trust === undefined ? [] : trustLines(name, trust)));
      const doubts = words.length === 0 ? "" : `\n${listing("Trust:", words)}`;
      return `${table(HEADER, rows, ["USED", "CAPACITY", "QUOTA"])}${waiting}${unmet}${doubts}`;
    });
    return EXIT.done;
  });
  addPeersPlan(command, bind);
  return command;
};

function sinceText({ state, liveness, lastSeen, removedAt }: PeerInfo): string {
  // The connection is gone, and beats have not told of it yet.
  const isJustGone =
    state === "unreachable" && (liveness?.state === "alive" || liveness?.state === "draining");
  const since = removedAt ?? (isJustGone ? lastSeen : liveness?.since);
  return since === undefined ? "-" : shortTime(since);
}

/** What the connections say, and what beats and others say where that is more. */
function stateText({ state, liveness }: PeerInfo): string {
  const planned = liveness?.plannedUntil;
  const shown = knownText(state, liveness);
  return planned === undefined ? shown : `${shown}, planned until ${shortTime(planned)}`;
}

function knownText(state: PeerInfo["state"], liveness: PeerInfo["liveness"]): string {
  if (state !== "alive" && state !== "unreachable") return state;
  if (liveness?.declaredLost === true) return "declared lost";
  if (liveness?.state !== "absent" && liveness?.state !== "lost") return state;
  return state === "alive" ? "returning" : liveness.state;
}

/** Each pair once. */
function apartLines(peers: readonly PeerInfo[]): string[] {
  const names = new Map(peers.map(({ peerId, name }) => [peerId, name]));
  return peers.flatMap((peer) =>
    (peer.cannotReach ?? []).flatMap((other) =>
      peer.peerId < other ? [`${peer.name} and ${names.get(other) ?? other}`] : [],
    ),
  );
}
