import { readFileSync } from "node:fs";
import { basename } from "node:path";

/** Parent and time of birth, in clock ticks since the boot; `undefined` if there is no such process. */
export function statOf(pid: number): { parent: number; startTicks: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The program's name, in brackets, may contain anything; what follows begins with field 3, the state.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { parent: Number(fields[1]), startTicks: fields[19] ?? "" };
  } catch {
    return undefined;
  }
}

/** Its arguments, each ended by NUL; empty for one that has ended or is not ours to look at. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/**
 * Tells whether npm, which started us through a shell that may have made way for us, is still there. npm hands
 * signals on, but when it is killed with -9 nobody tells its children.
 */
export function npmWatch(): () => boolean {
  const parent = process.ppid;
  const [program = "", flag] = commandLine(parent).split("\0");
  const throughShell = /sh$/.test(basename(program)) && flag === "-c";
  const npm = throughShell ? statOf(parent)?.parent : undefined;
  return () => process.ppid === parent && (npm === undefined || statOf(parent)?.parent === npm);
}
