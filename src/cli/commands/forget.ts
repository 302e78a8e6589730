import { z } from "zod";
import { formatDuration } from "../../base/units.ts";
import type { ForgetResult, KeepRules } from "../../control/api.ts";
import { EXIT } from "../exit-codes.ts";
import { counted, shortId, shortTime, table } from "../text.ts";
import { repeated, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { collect } from "./collect.ts";

const keepCount = z
  .string()
  .transform((text): number | "all" => {
    if (text === "all") return "all";
    if (/^\d{1,5}$/.test(text)) return Number(text);
    throw usage(`"${text}" is not how many to keep, such as 7 or all.`);
  })
  .optional();

const options = z.object({
  dryRun: z.boolean().default(false),
  set: z.string().optional(),
  keepLast: keepCount,
  keepHourly: keepCount,
  keepDaily: keepCount,
  keepWeekly: keepCount,
  keepMonthly: keepCount,
  keepYearly: keepCount,
  keepTag: repeated,
});

const RULES = ["last", "hourly", "daily", "weekly", "monthly", "yearly"] as const;

export const forgetCommand: AddCommand = (program, bind) => {
  const command = program
    .command("forget")
    .description("take snapshots off the list: those named, else what the policy's retention does not keep")
    .argument("[snapshots...]", "ids, or beginnings of them; without any, what the rules do not keep")
    .option("--dry-run", "only say what would be forgotten, and why")
    .option("--set <name>", "only this set of the policy");
  for (const rule of RULES)
    command.option(`--keep-${rule} <n>`, `instead of the policy's rules: ${rule}, a number or all`);
  command.option("--keep-tag <tag>", "instead of the policy's rules: this tag; may be repeated", collect);
  bind(command, options, [0, 1, 2, 5, 6, 10], async (session, given, names) => {
    const keep = keepOf(given);
    if (names.length > 0 && (keep !== undefined || given.set !== undefined))
      throw usage("Name snapshots, or give rules, not both.");
    const request = {
      dryRun: given.dryRun,
      ...(names.length === 0 ? {} : { snapshots: [...names] }),
      ...(given.set === undefined ? {} : { set: given.set }),
      ...(keep === undefined ? {} : { keep }),
    };
    const result = await session.daemon.forget(request, session.context);
    await session.result(result, () => forgetText(result));
    return names.length > 0 && result.snapshots.some(({ keep: kept }) => kept) ? EXIT.refused : EXIT.done;
  });
  return command;
};

function keepOf(given: z.output<typeof options>): KeepRules | undefined {
  const { keepLast: last, keepHourly: hourly, keepDaily: daily } = given;
  const { keepWeekly: weekly, keepMonthly: monthly, keepYearly: yearly, keepTag: tags } = given;
  const counts = Object.entries({ last, hourly, daily, weekly, monthly, yearly }).flatMap(([name, count]) =>
    count === undefined ? [] : [[name, count] as const],
  );
  if (counts.length === 0 && tags.length === 0) return undefined;
  return { ...Object.fromEntries(counts), ...(tags.length === 0 ? {} : { tags }) };
}

function forgetText(result: ForgetResult): string {
  const rows = result.snapshots.map(({ snapshotId, time, set, keep, reasons }) => [
    keep ? "keep" : "forget",
    shortId(snapshotId),
    shortTime(time),
    set ?? "-",
    reasons.map(({ text }) => text).join(", "),
  ]);
  const lines = result.sets.map(
    ({ set, rules, kept, forgotten }) =>
      `set ${set} (${rules === "" ? "no rule" : rules}): ${counted(kept, "snapshot")} kept, ${forgotten} ${result.dryRun ? "would be forgotten" : "forgotten"}\n`,
  );
  const clock =
    result.clockAheadMs === undefined || Math.abs(result.clockAheadMs) < CLOCK_SHOWN_MS
      ? ""
      : `this machine's clock was ${formatDuration(Math.abs(result.clockAheadMs))} ${result.clockAheadMs > 0 ? "ahead of" : "behind"} its peers'\n`;
  if (rows.length === 0) return "no snapshots\n";
  return `${table(["", "ID", "TIME (UTC)", "SET", "WHY"], rows, [])}${lines.join("")}${clock}${endText(result)}`;
}

function endText({ dryRun, snapshots }: ForgetResult): string {
  if (dryRun) return "nothing was forgotten: this was a dry run\n";
  const gone = snapshots.filter(({ keep }) => !keep).length;
  if (gone === 0) return "nothing was forgotten\n";
  return `${counted(gone, "snapshot")} forgotten; cairn prune gives back what only ${gone === 1 ? "it" : "they"} needed\n`;
}

const CLOCK_SHOWN_MS = 60_000;
