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
    .description("what the policy's retention would forget, and why; this version forgets nothing")
    .option("--dry-run", "required: only say what would be forgotten")
    .option("--set <name>", "only this set of the policy");
  for (const rule of RULES)
    command.option(`--keep-${rule} <n>`, `instead of the policy's rules: ${rule}, a number or all`);
  command.option("--keep-tag <tag>", "instead of the policy's rules: this tag; may be repeated", collect);
  bind(command, options, [0, 1, 2, 5, 6, 10], async (session, given) => {
    if (!given.dryRun)
      throw usage(
        "This version forgets nothing: give --dry-run to see what retention would forget, and why.",
      );
    const keep = keepOf(given);
    const request = {
      dryRun: true as const,
      ...(given.set === undefined ? {} : { set: given.set }),
      ...(keep === undefined ? {} : { keep }),
    };
    const result = await session.daemon.forget(request, session.context);
    await session.result(result, () => forgetText(result));
    return EXIT.done;
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
      `set ${set} (${rules === "" ? "no rule" : rules}): ${counted(kept, "snapshot")} kept, ${forgotten} would be forgotten\n`,
  );
  const clock =
    result.clockAheadMs === undefined || Math.abs(result.clockAheadMs) < CLOCK_SHOWN_MS
      ? ""
      : `this machine's clock was ${formatDuration(Math.abs(result.clockAheadMs))} ${result.clockAheadMs > 0 ? "ahead of" : "behind"} its peers'\n`;
  if (rows.length === 0) return "no snapshots\n";
  return `${table(["", "ID", "TIME (UTC)", "SET", "WHY"], rows, [])}${lines.join("")}${clock}nothing was forgotten: this was a dry run\n`;
}

const CLOCK_SHOWN_MS = 60_000;
