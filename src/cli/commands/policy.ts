import { readFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { z } from "zod";
import { Fault } from "../../base/fault.ts";
import { pathBytes } from "../../base/paths.ts";
import { formatDuration } from "../../base/units.ts";
import type { EffectiveSetInfo, PolicyResult } from "../../control/api.ts";
import { effectiveSets, POLICY_BYTES_MAX, type PolicyIssue, parsePolicy } from "../../policy/index.ts";
import { EXIT, type ExitStatus } from "../exit-codes.ts";
import type { Bind, Session } from "../session.ts";
import { counted, printable, uplinkText } from "../text.ts";
import { localPath, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";

export const policyCommand: AddCommand = (program, bind) => {
  const command = program
    .command("policy")
    .description("what this node saves by itself, when, and how long it is kept");
  addShow(command, bind);
  addSet(command, bind);
  addCheck(command, bind);
  return command;
};

const addShow = (command: ReturnType<AddCommand>, bind: Bind): void => {
  const show = command
    .command("show")
    .description("what is in force here, each value with where it was said")
    .option("--set <name>", "only this set");
  bind(show, z.object({ set: z.string().optional() }), [0, 1, 2, 5, 6, 10], async (session, { set }) => {
    const result = await session.daemon.policyShow({}, session.context);
    const sets = set === undefined ? result.sets : result.sets.filter((one) => one.set === set);
    if (set !== undefined && sets.length === 0) throw new Fault({ code: "SET_UNKNOWN", set });
    await session.result({ ...result, sets }, () => policyText({ ...result, sets }));
    if (result.state !== "invalid") return EXIT.done;
    if (!session.json)
      session.note(
        issuesText("The file of this home is not valid; what is shown is in force:", result.issues),
      );
    return EXIT.failed;
  });
};

const addSet = (command: ReturnType<AddCommand>, bind: Bind): void => {
  const set = command
    .command("set")
    .description("make a file this node's policy; a file that is not valid changes nothing")
    .argument("<file>", "YAML; - for standard input");
  bind(set, z.object({}), [0, 1, 2, 5, 6, 10], async (session, _, args) => {
    const text = await readPolicy(session, args[0] ?? "");
    const issues = issuesOf(text);
    if (issues.length > 0) return await refused(session, issues);
    const result = await session.daemon.policySet({ text }, session.context);
    await session.result(result, () => policyText(result));
    return EXIT.done;
  });
};

const addCheck = (command: ReturnType<AddCommand>, bind: Bind): void => {
  const check = command
    .command("check")
    .description("say what is wrong with a policy file; needs no daemon")
    .argument("<file>", "YAML; - for standard input")
    .option("--site <name>", "and what it would be at this site")
    .option("--node <name>", "and on this node");
  const options = z.object({ site: z.string().optional(), node: z.string().optional() });
  bind(check, options, [0, 1, 2], async (session, { site = "-", node = "-" }, args) => {
    const text = await readPolicy(session, args[0] ?? "");
    const issues = issuesOf(text);
    if (issues.length > 0) return await refused(session, issues);
    const parsed = parsePolicy(text);
    const sets = parsed.ok ? effectiveSets(parsed.policy, parsed.lineOf, { site, node }) : [];
    const names = sets.map(({ name }) => name);
    await session.result({ valid: true, sets: names }, () =>
      names.length === 0
        ? "valid; no set is for this node and site\n"
        : `valid; ${counted(names.length, "set")}: ${names.join(", ")}\n`,
    );
    return EXIT.done;
  });
};

function issuesOf(text: string): readonly PolicyIssue[] {
  const parsed = parsePolicy(text);
  return parsed.ok ? [] : parsed.issues;
}

/** All of them, as a compiler does; the error itself is the first. */
async function refused(session: Session, issues: readonly PolicyIssue[]): Promise<ExitStatus> {
  if (session.json) throw new Fault({ code: "POLICY_INVALID", issues });
  session.note(issuesText("cairn: The policy is not valid:", issues));
  return EXIT.failed;
}

function issuesText(heading: string, issues: readonly PolicyIssue[]): string {
  const lines = issues.map(
    ({ line, column, message }) => `  line ${line}, column ${column}: ${printable(message)}\n`,
  );
  return `${heading}\n${lines.join("")}`;
}

async function readPolicy(session: Session, name: string): Promise<string> {
  if (name === "-") return await readAll(session.world.stdin);
  try {
    return await readFile(pathBytes(localPath(name, session.world)), "utf8");
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw usage(`The policy file cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

async function readAll(stream: Readable): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of stream) {
    const chunk = Buffer.from(part);
    bytes += chunk.length;
    if (bytes > POLICY_BYTES_MAX) throw usage(`A policy has at most ${POLICY_BYTES_MAX} bytes.`);
    parts.push(chunk);
  }
  return Buffer.concat(parts).toString("utf8");
}

function policyText({ state, sets, uplink }: PolicyResult): string {
  if (state === "none")
    return 'no policy: nothing is saved by itself; "cairn policy set FILE" changes that\n';
  const line = uplink === undefined ? "" : `${uplinkText(uplink)}  # ${originText(uplink.from)}\n\n`;
  if (sets.length === 0) return `${line}no set is for this node\n`;
  return line + sets.map(setText).join("\n");
}

function setText(set: EffectiveSetInfo): string {
  const lines = [
    row("paths", set.paths.value.join(" "), set.paths),
    ...set.exclude.map((one) => row("exclude", one.value, one)),
    row("one-file-system", set.oneFileSystem.value ? "yes" : "no", set.oneFileSystem),
    row("profile", set.profile.value, set.profile),
    row("tags", set.tags.value.join(" ") || "-", set.tags),
    row("schedule", scheduleText(set), set.schedule),
    row("continuous", continuousText(set), set.continuousMs),
    row("keep", keepText(set), set.keep),
    row("forget", set.forget.value === "by-itself" ? "by itself" : "when told", set.forget),
    row("lock", set.lockMs.value === 0 ? "none" : `${formatDuration(set.lockMs.value)}`, set.lockMs),
    row("hooks", hooksText(set), set.hooks),
    row("priority", String(set.priority.value), set.priority),
  ];
  return `set ${set.set}\n${lines.join("")}`;
}

function row(
  name: string,
  value: string,
  { from }: { from: { level: string; line?: number | undefined } },
): string {
  return `  ${name.padEnd(16)}${printable(value).padEnd(40)}  # ${originText(from)}\n`;
}

function originText({ level, line }: { level: string; line?: number | undefined }): string {
  return line === undefined ? level : `${level}, line ${line}`;
}

function scheduleText({ schedule }: EffectiveSetInfo): string {
  const { value } = schedule;
  if (value === null) return "only when told";
  const when =
    value.everyMs === undefined
      ? `cron ${value.cron ?? ""} (${value.timeZone ?? "the daemon's time zone"})`
      : `every ${formatDuration(value.everyMs)}`;
  const jitter = value.jitterMs === 0 ? "" : `, up to ${formatDuration(value.jitterMs)} later`;
  return `${when}${jitter}${value.catchUp ? "" : ", nothing is caught up"}`;
}

function continuousText({ continuousMs: { value } }: EffectiveSetInfo): string {
  return value === null ? "no" : `within ${formatDuration(value)} of a change`;
}

const KEEP_NAMES = ["last", "hourly", "daily", "weekly", "monthly", "yearly"] as const;

function keepText({ keep }: EffectiveSetInfo): string {
  const { value } = keep;
  const counts = KEEP_NAMES.flatMap((name) => (value[name] === undefined ? [] : [`${name} ${value[name]}`]));
  const tags = (value.tags ?? []).map((tag) => `tag ${tag}`);
  return [...counts, ...tags].join(", ") || "everything";
}

function hooksText({ hooks }: EffectiveSetInfo): string {
  const { before, after, timeLimitMs } = hooks.value;
  const parts = [
    ...(before === undefined ? [] : [`before: ${before.join(" ")}`]),
    ...(after === undefined ? [] : [`after: ${after.join(" ")}`]),
    ...(timeLimitMs === undefined ? [] : [`at most ${formatDuration(timeLimitMs)}`]),
  ];
  return parts.join("; ") || "none";
}
