import { z } from "zod";
import { formatBytes } from "../../base/units.ts";
import type { AuditedHolder, AuditResult } from "../../control/audit-api.ts";
import { exitStatusOfAudit } from "../exit-codes.ts";
import { counted, listing, shortTime, table } from "../text.ts";
import { trustLines } from "../trust-text.ts";
import type { AddCommand } from "./add-command.ts";

const options = z.object({ now: z.boolean().default(false), clear: z.string().optional() });

const NUMBERS = ["ASKED", "PROVEN", "LATE", "MISSING", "WRONG"];
const HEADER = ["NAME", ...NUMBERS, "LAST PROVEN (UTC)", "STATE", "PEER"];

export const auditCommand: AddCommand = (program, bind) => {
  const command = program
    .command("audit")
    .description("whether holders prove that they still have this repository's shards")
    .option("--now", "one round now: up to 172 random leaves of every holder")
    .option("--clear <peer>", "trust a suspect peer again: its name, its peer id or the beginning of it");
  bind(command, options, [0, 1, 2, 4, 5, 6, 10, 130], async (session, { now, clear }) => {
    const request = { now, ...(clear === undefined ? {} : { clear }) };
    const result = await session.daemon.audit(request, session.context);
    await session.result({ type: "summary", ...result }, () => auditText(result));
    return exitStatusOfAudit(result);
  });
  return command;
};

function auditText(result: AuditResult): string {
  const cleared = clearedText(result);
  if (result.holders.length === 0) return `${cleared}nobody holds anything for this repository yet\n`;
  const rows = result.holders.map((holder) => [
    holder.name ?? "-",
    ...[holder.asked, holder.proven, holder.late, holder.missing, holder.wrong].map(String),
    holder.lastProven === undefined ? "never" : shortTime(holder.lastProven),
    stateOf(holder),
    holder.peerId,
  ]);
  const when = result.now ? `now, ${formatBytes(result.bytesMoved)} read` : "since this home began to audit";
  const summary = `${counted(result.scanned, "leaf", "leaves")} asked for (${when}), ${result.corrupt} missing or wrong`;
  return `${cleared}${table(HEADER, rows, NUMBERS)}${summary}\n${reasons(result)}`;
}

function clearedText({ cleared, clearedForAll }: AuditResult): string {
  if (cleared === undefined) return "";
  if (clearedForAll === true) return "cleared, for the whole swarm\n";
  return cleared ? "cleared\n" : "this node's audits had not made it suspect\n";
}

function stateOf({ suspect, trust, pending, evidence }: AuditedHolder): string {
  const convictions = evidence.length === 0 ? "" : `, ${counted(evidence.length, "conviction")}`;
  if (suspect !== undefined) return `suspect${convictions}`;
  if (trust?.state === "doubted") return `doubted${convictions}`;
  return `${pending > 0 ? "late" : "good"}${convictions}`;
}

function reasons({ holders }: AuditResult): string {
  const lines = holders.flatMap(({ name, peerId, trust, problem }) => {
    const who = name ?? peerId;
    return [
      ...(trust === undefined ? [] : trustLines(who, trust)),
      ...(problem === undefined ? [] : [`${who} did not answer: ${problem}`]),
    ];
  });
  return lines.length === 0 ? "" : `\n${listing("Look into:", lines)}`;
}
