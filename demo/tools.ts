import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import type { Processes } from "./processes.ts";
import { shownPath } from "./tree.ts";

export interface ToolInit {
  readonly processes: Processes;
  readonly roots: readonly string[];
  readonly target: string;
  /** Only root can give files to others: without it owners come back as this user. */
  readonly owners: boolean;
}

export interface ToolVerdict {
  readonly tool: string;
  readonly findings: readonly Finding[];
  /** Why it was not used. */
  readonly unused?: string;
}

/** A line that a tool printed about a difference, and the source's path that it is about, where that can be told. */
export interface Finding {
  readonly line: string;
  readonly path: string | undefined;
}

/** What the machine's own programs say, as far as it has them: other people's code, so other people's mistakes. */
export async function askTools(init: ToolInit): Promise<ToolVerdict[]> {
  const tools = [
    { tool: "diff -r --no-dereference", has: await isGnuDiff(init.processes), ask: askDiff },
    { tool: "rsync -aHAXn --itemize-changes", has: isInstalled("rsync"), ask: askRsync },
    { tool: "getfattr -R", has: isInstalled("getfattr"), ask: askGetfattr },
  ];
  const verdicts: ToolVerdict[] = [];
  for (const { tool, has, ask } of tools) {
    if (!has) {
      verdicts.push({ tool, findings: [], unused: "not on this machine" });
    } else verdicts.push({ tool, findings: await ask(init) });
  }
  return verdicts;
}

async function askDiff({ processes, roots, target }: ToolInit): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const root of roots) {
    const command = ["diff", "-rq", "--no-dereference", "--", shownPath(root), shownPath(`${target}${root}`)];
    const { status, stdout, stderr } = await processes.run(command, plainEnvironment());
    // 2: trouble, such as a file that this user may not read; then standard error says which.
    const lines = [...linesOf(stdout.toString("latin1")), ...(status > 1 ? linesOf(stderr) : [])];
    for (const line of lines) if (!isSameSpecial(line)) findings.push({ line, path: diffPath(line, target) });
  }
  return findings;
}

async function isGnuDiff(processes: Processes): Promise<boolean> {
  if (!isInstalled("diff")) return false;
  return (await processes.run(["diff", "--version"], plainEnvironment())).stdout.includes("GNU");
}

/** diff cannot compare FIFOs, sockets and devices, and says so even where both are the same. */
function isSameSpecial(line: string): boolean {
  return /^File .* is a (fifo|socket|.* special file) while file .* is a \1$/.test(line);
}

function diffPath(line: string, target: string): string | undefined {
  const only = /^Only in (.*): (.*)$/.exec(line);
  const pair = /^(?:Files|Symbolic links) (.*) and .* differ$/.exec(line);
  const kinds = /^File (.*) is a .* while file /.exec(line);
  const trouble = /^diff: (.*): [^:]*$/.exec(line);
  const path = only === null ? (pair ?? kinds ?? trouble)?.[1] : `${only[1]}/${only[2]}`;
  return path?.startsWith(`${target}/`) ? path.slice(target.length) : path;
}

async function askRsync({ processes, roots, target, owners }: ToolInit): Promise<Finding[]> {
  const options = ["-aHAXnR", "--no-implied-dirs", "--delete", "--itemize-changes", "--out-format=%i %n"];
  const ownership = owners ? [] : ["--no-owner", "--no-group"];
  const command = ["rsync", ...options, ...ownership, "--", ...roots.map(shownPath), `${shownPath(target)}/`];
  const { status, stdout, stderr } = await processes.run(command, plainEnvironment());
  const lines = [...linesOf(stdout.toString("latin1")), ...(status === 0 ? [] : linesOf(stderr))];
  return lines.map((line) => ({ line, path: rsyncPath(line) }));
}

/** `>f.st...... usr/share/a`, `cS+++++++++ /usr/share/s`, `*deleting   usr/share/b/`. */
function rsyncPath(line: string): string | undefined {
  const change = /^(?:[^ ]{11}|\*deleting {2}) +(.*?)\/?$/;
  const trouble = /^skipping non-regular file "(.*)"$|^rsync: .*"(.*)"(?: failed|: )/;
  const [, name, again] = change.exec(line) ?? trouble.exec(line) ?? [];
  const path = name ?? again;
  return path === undefined ? undefined : unescaped(`/${path.replace(/^\//, "")}`);
}

/** Bytes that do not print are `\#ooo` in rsync, `\ooo` in getfattr. */
function unescaped(text: string): string {
  return text.replace(/\\#?([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Extended attributes and ACLs of every file on both sides. */
async function askGetfattr({ processes, roots, target }: ToolInit): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const root of roots) {
    const before = await attributesOf(processes, root, "");
    const after = await attributesOf(processes, `${target}${root}`, target);
    for (const path of new Set([...before.keys(), ...after.keys()])) {
      const [wanted = "none", found = "none"] = [before.get(path), after.get(path)];
      if (wanted !== found)
        findings.push({ line: `${shownPath(path)}: attributes ${found} instead of ${wanted}`, path });
    }
  }
  return findings;
}

/** By path; files without attributes are not in it. */
async function attributesOf(
  processes: Processes,
  root: string,
  prefix: string,
): Promise<Map<string, string>> {
  const command = ["getfattr", "-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "--absolute-names", "--"];
  const { stdout } = await processes.run([...command, shownPath(root)], plainEnvironment());
  const attributes = new Map<string, string>();
  for (const block of stdout.toString("latin1").split("\n\n")) {
    const [head = "", ...values] = linesOf(block);
    const name = /^# file: (.*)$/.exec(head)?.[1];
    if (name === undefined) continue;
    attributes.set(unescaped(name).slice(prefix.length), values.sort().join(" "));
  }
  return attributes;
}

function isInstalled(program: string): boolean {
  for (const folder of (process.env["PATH"] ?? "").split(":")) {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      // The next one may have it.
    }
  }
  return false;
}

/** Messages in English, names as bytes. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: "C" };
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
