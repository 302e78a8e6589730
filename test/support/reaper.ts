import { type ChildProcess, spawn } from "node:child_process";

/**
 * Ends what this process started when this process ends, however it ends: a shell that is told each child and each
 * directory over a pipe, and that kills and removes what is left when the pipe closes, which the kernel sees to.
 */
const SCRIPT = `
pids= paths=
while read -r what it; do
  case $what in
    child) pids="$pids $it" ;;
    gone) new=; for pid in $pids; do [ "$pid" = "$it" ] || new="$new $pid"; done; pids=$new ;;
    path) paths="$paths $it" ;;
    kept) new=; for path in $paths; do [ "$path" = "$it" ] || new="$new $path"; done; paths=$new ;;
  esac
done
[ -z "$pids" ] || kill -9 $pids 2>/dev/null
for path in $paths; do
  grep -F " $path" /proc/mounts | cut -d" " -f2 | sort -r | while read -r mounted; do umount -l "$mounted"; done
  rm -rf "$path"
done
`;

let reaper: ChildProcess | undefined;

function tell(line: string): void {
  if (reaper === undefined) {
    // Detached: an interrupt from the terminal is for the tests, and the reaper outlives them.
    reaper = spawn("/bin/sh", ["-c", SCRIPT], { stdio: ["pipe", "ignore", "ignore"], detached: true });
    reaper.unref();
    reaper.stdin?.on("error", () => {});
  }
  reaper.stdin?.write(`${line}\n`);
}

/** From now until its end the child does not outlive this process. */
export function reap(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  tell(`child ${pid}`);
  child.once("exit", () => tell(`gone ${pid}`));
}

/** A directory to be removed, and what is mounted in it taken down, if this process does not do it; no blanks in its path. */
export function reapDirectory(path: string): { forget: () => void } {
  tell(`path ${path}`);
  return { forget: () => tell(`kept ${path}`) };
}
