import { z } from "zod";
import { formatBytes, formatDuration } from "../../base/units.ts";
import type { StatusResult } from "../../control/api.ts";
import type { ContinuousStanding } from "../../control/policy-api.ts";
import type { PresenceInfo } from "../../control/presence-api.ts";
import { pendingLine } from "../decision-text.ts";
import { exitStatusOfStatus } from "../exit-codes.ts";
import { counted, printable, shortId, shortTime, survivesText, uplinkText } from "../text.ts";
import type { AddCommand } from "./add-command.ts";
import { standingLines } from "./repair.ts";

const PENDING_SHOWN = 5;
const AWAY_SHOWN = 5;

export const statusCommand: AddCommand = (program, bind) => {
  const command = program
    .command("status")
    .description("this node, its repository and how well it is protected");
  bind(command, z.object({}), [0, 1, 4, 5, 6, 10], async (session) => {
    const status = await session.daemon.status({}, session.context);
    await session.result(status, () => statusText(status));
    return exitStatusOfStatus(status);
  });
  return command;
};

function statusText(status: StatusResult): string {
  const blocks: [string, string[]][] = [
    ["node", nodeLines(status)],
    ["swarm", [swarmLine(status), ...presenceLines(status), ...pendingLines(status)]],
    ["repository", repositoryLines(status)],
    ["protection", protectionLines(status)],
    ["storage", [storageLine(status), ...surplusLines(status)]],
    ["spool", [spoolLine(status)]],
    [
      "alerts",
      status.alerts.length === 0 ? ["none"] : status.alerts.map(({ code, text }) => `${code}: ${text}`),
    ],
  ];
  if (status.scrub !== undefined) blocks.splice(5, 0, ["scrub", [scrubLine(status.scrub)]]);
  if (status.repair !== undefined) blocks.splice(5, 0, ["repair", standingLines(status.repair)]);
  const schedule = scheduleLines(status);
  if (schedule.length > 0) blocks.splice(4, 0, ["schedule", schedule]);
  const heirs = heirsLines(status);
  if (heirs.length > 0) blocks.splice(5, 0, ["heirs", heirs]);
  if (status.audit !== undefined && status.audit.holders > 0)
    blocks.splice(5, 0, ["audit", [auditLine(status.audit)]]);
  blocks.unshift(...standingBlock(status));
  return blocks
    .flatMap(([name, lines]) =>
      lines.map((line, i) => `${(i === 0 ? name : "").padEnd(12)}${printable(line)}\n`),
    )
    .join("");
}

function nodeLines({ node }: StatusResult): string[] {
  return [
    `${node.name} at site ${node.site}, version ${node.version}, up since ${shortTime(node.startedAt)} UTC`,
    node.peerId,
    ...node.addresses,
  ];
}

/** Only where it is not what everybody expects. */
function standingBlock({ standing }: StatusResult): [string, string[]][] {
  const { state, since, by, byName } = standing;
  if (state === "member" || state === "guest") return [];
  const whence = since === undefined ? "" : ` since ${shortTime(since)} UTC`;
  const who = by === undefined ? "" : `, by ${byName === undefined ? by : `${byName} (${shortId(by)})`}`;
  return [["standing", [`${state.toUpperCase()}, read-only${whence}${who}`]]];
}

function swarmLine({ swarm }: StatusResult): string {
  return (
    `${shortId(swarm.swarmId)}: ${swarm.alive} of ${counted(swarm.members, "member")} up, ` +
    `${counted(swarm.sites, "site")}, ${counted(swarm.administrators, "administrator")}`
  );
}

/** Only what is not as it should be; the alerts say why. */
function presenceLines({ presence, standing }: StatusResult): string[] {
  // Of a swarm that it is no part of any more a node cannot say who is away.
  if (presence === undefined || !["member", "guest"].includes(standing.state)) return [];
  const { states, away } = presence;
  const counts = (["draining", "unreachable", "absent", "lost"] as const)
    .filter((state) => states[state] > 0)
    .map((state) => `${states[state]} ${state}`);
  const lines = counts.length === 0 ? [] : [counts.join(", ")];
  for (const { name, peerId, state, since, plannedUntil, declaredLost } of away.slice(0, AWAY_SHOWN)) {
    const whose = declaredLost === undefined ? "" : ", as an administrator said";
    const planned = plannedUntil === undefined ? "" : `, planned until ${shortTime(plannedUntil)} UTC`;
    lines.push(`${name ?? shortId(peerId)}: ${state} since ${shortTime(since)} UTC${whose}${planned}`);
  }
  if (away.length > AWAY_SHOWN) lines.push(`${away.length - AWAY_SHOWN} more; "cairn peers" lists them`);
  return [...lines, ...weatherLine(presence)];
}

/** Who has just begun to listen hears more of the others every second: no reason to be called cut off. */
function weatherLine({ weather }: Pick<PresenceInfo, "weather">): string[] {
  if (weather.kind === "calm") return [];
  if (weather.isListening !== true) return [weather.kind.toUpperCase()];
  return [`has heard ${weather.seen ?? 0} of ${weather.of ?? 0} members since its start`];
}

function pendingLines({ swarm }: StatusResult): string[] {
  const shown = swarm.pending.slice(0, PENDING_SHOWN).map((one) => `waiting: ${pendingLine(one)}`);
  const hidden = swarm.pending.length - shown.length;
  return hidden === 0 ? shown : [...shown, `waiting: ${hidden} more; "cairn peers" lists them`];
}

function repositoryLines({ repository }: StatusResult): string[] {
  const { newest } = repository;
  const last =
    newest === undefined
      ? ""
      : `, newest ${shortId(newest.snapshotId)} of ${shortTime(newest.time)} UTC (${newest.state})`;
  const sizes =
    `${formatBytes(repository.logicalBytes)} in snapshots, ${formatBytes(repository.uniqueBytes)} without duplicates, ` +
    `${formatBytes(repository.storedBytes)} in ${counted(repository.segments, "segment")} at ${counted(repository.pool, "peer")}`;
  const lines = [`${counted(repository.snapshots, "snapshot")}${last}`, sizes];
  const { quota } = repository;
  if (quota !== undefined)
    lines.push(`quota: ${formatBytes(quota.usedBytes)} of ${formatBytes(quota.bytes)} used`);
  return repository.readOnly ? ["read-only", ...lines] : lines;
}

function protectionLines({ protection }: StatusResult): string[] {
  if (protection.state === "none") return ["nothing to protect yet", ...protection.notes];
  const lowest = protection.margins[0];
  const margin =
    lowest === undefined ? "" : `; lowest margin ${lowest.margin} (${counted(lowest.segments, "segment")})`;
  const lines = [`${protection.state}: survives ${survivesText(protection.survives)}${margin}`];
  if (protection.unreachable.length > 0)
    lines.push(`${counted(protection.unreachable.length, "holder")} not answering now`);
  return [...lines, ...protection.notes];
}

/** Only where there is a policy. */
function scheduleLines({ schedule }: StatusResult): string[] {
  if (schedule === undefined || schedule.policy === "none") return [];
  const lines = schedule.policy === "invalid" ? ["the policy file is NOT VALID"] : [];
  for (const { set, running, next, last, rpoMs, continuous } of schedule.sets) {
    const point = rpoMs === undefined ? "no safe snapshot yet" : `RPO ${formatDuration(rpoMs)}`;
    const when = running
      ? "running now"
      : continuous !== undefined && continuous.unsavedSince === undefined
        ? "nothing has changed since"
        : next === undefined
          ? "only when told"
          : `next ${shortTime(next)} UTC`;
    const failed = last?.outcome === "failed" ? `; last try FAILED at ${shortTime(last.ended)} UTC` : "";
    const left = last === undefined || last.unreadable === 0 ? "" : `; ${last.unreadable} unreadable`;
    lines.push(`${set}: ${point}${continuousText(continuous)}, ${when}${failed}${left}`);
  }
  if (schedule.uplink !== undefined) lines.push(uplinkText(schedule.uplink));
  return [...lines, ...tidyingLines(schedule)];
}

function tidyingLines({ tidying }: NonNullable<StatusResult["schedule"]>): string[] {
  if (tidying === undefined) return [];
  const { forget, prune } = tidying;
  const forgot = forget.last;
  const pruned = prune.last;
  const forgetText =
    forgot === undefined
      ? ""
      : forgot.outcome === "failed"
        ? `FAILED at ${shortTime(forgot.ended)} UTC, `
        : `${forgot.held === undefined ? "" : "HELD, "}${forgot.forgotten} of ${counted(forgot.kept + forgot.forgotten, "snapshot")} at ${shortTime(forgot.ended)} UTC, `;
  const pruneText =
    pruned === undefined
      ? ""
      : pruned.outcome === "failed"
        ? `FAILED at ${shortTime(pruned.ended)} UTC, `
        : `${formatBytes(pruned.freedBytes)} at ${shortTime(pruned.ended)} UTC, `;
  return [
    `forgets by itself: ${forgetText}next ${shortTime(forget.next)} UTC`,
    `prunes by itself: ${pruneText}next ${shortTime(prune.next)} UTC`,
  ];
}

function continuousText(continuous: ContinuousStanding | undefined): string {
  if (continuous === undefined) return "";
  const { everyMs, mode, why = "" } = continuous;
  const how = {
    opening: "; its directories are being taken in",
    watching: "",
    rescanning: `; changes are looked for by rescans: ${why}`,
  }[mode];
  return ` of at most ${formatDuration(everyMs)}${how}`;
}

function storageLine({ storage }: StatusResult): string {
  return (
    `${formatBytes(storage.usedBytes)} of ${formatBytes(storage.capacityBytes)} used for others ` +
    `(${counted(storage.shards, "shard")}), ${formatBytes(storage.freeBytes)} free`
  );
}

/** Only where there is something to say. */
function surplusLines({ heirs }: StatusResult): string[] {
  const { copies = 0, dropped = 0, droppedBytes = 0 } = heirs?.surplus ?? {};
  if (copies === 0 && dropped === 0) return [];
  return [`copies too many: ${copies}; ${dropped} dropped since the start, ${formatBytes(droppedBytes)}`];
}

function spoolLine({ spool }: StatusResult): string {
  if (spool.segments === 0) return "empty: everything has been placed";
  return `${counted(spool.segments, "segment")} still to be placed, ${formatBytes(spool.bytes)} of ${formatBytes(spool.maxBytes)}`;
}

/** Only where there is an owner to look after. */
function heirsLines({ heirs }: StatusResult): string[] {
  if (heirs === undefined || (heirs.owners.length === 0 && heirs.slotsMoved === 0)) return [];
  const waiting = heirs.waiting === undefined ? "" : `, waiting: ${heirs.waiting}`;
  const lines = [
    `${counted(heirs.owners.length, "owner")} away; ${counted(heirs.queued, "row")} due, ${heirs.stuck.length} stuck${waiting}; ` +
      `${counted(heirs.slotsMoved, "slot")} moved, ${formatBytes(heirs.bytesOut)} out, ${formatBytes(heirs.bytesIn)} in`,
  ];
  for (const { ownerId, row, margin, why } of heirs.stuck.slice(0, AWAY_SHOWN))
    lines.push(`stuck: ${shortId(ownerId)} ${row}, margin ${margin}: ${why}`);
  return lines;
}

function scrubLine(scrub: NonNullable<StatusResult["scrub"]>): string {
  if (scrub.disk === "gone") return "the disk is GONE, no shard is served";
  const state = scrub.paused ? ", paused" : "";
  return (
    `oldest unverified byte: ${formatDuration(scrub.oldestUnverifiedMs)}, ` +
    `${counted(scrub.corrupt, "corrupt shard")}, ${scrub.quarantined} quarantined${state}`
  );
}

function auditLine({ holders, suspects, doubted, oldestProven }: NonNullable<StatusResult["audit"]>): string {
  const oldest =
    oldestProven === undefined
      ? "not all have proven anything yet"
      : `all proven since ${shortTime(oldestProven)} UTC`;
  return `${counted(holders, "holder")}, ${oldest}; ${suspects} suspect, ${doubted ?? 0} doubted`;
}
