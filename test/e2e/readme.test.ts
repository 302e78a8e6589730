import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { scratchDirectories } from "../support/scratch.ts";

const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));
const README = readFileSync(join(CHECKOUT, "README.md"), "utf8");
const TUTORIAL_MS = 180_000;

const scratch = scratchDirectories();

/** The lines of the shell blocks below one heading. */
function shellLines(heading: string): string[] {
  const section = README.split(/^## /m).find((text) => text.startsWith(heading)) ?? "";
  return [...section.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block = ""]) =>
    block.trim().split("\n"),
  );
}

interface Ran {
  readonly line: string;
  readonly output: string;
  readonly status: number;
}

/** Runs lines in one bash, as if pasted, and tells what each of them printed and ended with. */
async function paste(lines: readonly string[], environment: NodeJS.ProcessEnv): Promise<Ran[]> {
  const mark = "@@@ line";
  // The mark says after each line what became of it, whether or not the line's output ended with a line break.
  const script = lines.map((line) => `${line}\nprintf '\\n${mark} %d\\n' $?\n`).join("");
  const bash = spawn("bash", ["--noprofile", "--norc"], {
    cwd: CHECKOUT,
    env: environment,
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  let output = "";
  let errors = "";
  bash.stdout.on("data", (chunk) => (output += String(chunk)));
  bash.stderr.on("data", (chunk) => (errors += String(chunk)));
  const late = setTimeout(() => killGroup(bash.pid), TUTORIAL_MS);
  try {
    await new Promise((resolve, reject) => {
      bash.on("error", reject);
      bash.on("close", resolve);
      bash.stdin.on("error", () => {});
      bash.stdin.end(script);
    });
  } finally {
    clearTimeout(late);
    killGroup(bash.pid);
  }
  const parts = output.split(new RegExp(`\\n?${mark} (\\d+)\\n`));
  const ran = lines.map((line, i) => ({
    line,
    output: parts[2 * i] ?? "",
    status: Number(parts[2 * i + 1] ?? Number.NaN),
  }));
  const bad = ran.find(({ status }) => status !== 0);
  expect(bad, `${JSON.stringify(bad)}\n${errors}`).toBeUndefined();
  return ran;
}

/** Whatever the lines left running, even if one of them failed half-way. */
function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // All of it has ended.
  }
}

it("names the two commands, each one line of its own", () => {
  expect(shellLines("Two commands")).toEqual(["npm ci && npm run demo", "npm ci && npm test"]);
});

it("links to files that exist", () => {
  const links = [...README.matchAll(/\]\(([^)#]+)\)/g)].map(([, link = ""]) => link);
  expect(links.length).toBeGreaterThan(0);
  expect(links.filter((link) => !link.includes(":") && !existsSync(join(CHECKOUT, link)))).toEqual([]);
});

it(
  "has a tutorial that works when pasted line by line",
  async () => {
    const home = scratch();
    const temporary = scratch();
    const ran = await paste(shellLines("Tutorial"), {
      PATH: "/usr/local/bin:/usr/bin:/bin",
      HOME: home,
      TMPDIR: temporary,
    });
    const outputOf = (beginning: string): string => {
      const found = ran.filter(({ line }) => line.startsWith(beginning));
      expect(found.length, beginning).toBeGreaterThan(0);
      return found.map(({ output }) => output).join("\n");
    };
    expect(outputOf("cairn --home anna init")).toMatch(/New swarm \S+ anna at site amsterdam/);
    expect(outputOf("cairn --home bert join")).toMatch(/Joined swarm .* of 2 members: bert at site berlin/);
    expect(outputOf("cairn --home carla join")).toMatch(/of 3 members: carla at site cracow/);
    expect(outputOf("cairn --home anna peers")).toMatch(/^carla +cracow +alive/m);
    expect(outputOf("cairn --home anna snapshot files")).toMatch(
      /(safe|full): survives the loss of any 1 site, or of any 1 node[\s\S]*\(1\+1\)/,
    );
    expect(outputOf("cairn --home anna snapshots")).toMatch(/ evening /);
    expect(outputOf("cairn --home anna status")).toMatch(/3 of 3 members up, 3 sites/);
    expect(outputOf("cairn --home anna ls")).toMatch(/ numbers$|\/numbers$/m);
    expect(outputOf("cairn --home anna find").trim().split("\n")).toHaveLength(2);
    expect(outputOf("cairn --home anna cat")).toBe("buy milk\nbuy bread\n");
    const changes = outputOf("cairn --home anna diff");
    expect(changes).toMatch(/^\+ .*\/files\/today$/m);
    expect(changes).toMatch(/^M .*\/files\/notes\.txt$/m);
    expect(outputOf("cairn --home anna restore")).toMatch(/restored 3 files.*every byte verified/);
    expect(outputOf("cairn --home anna-again recover")).toMatch(/2 of 2 answered[\s\S]*2 snapshots/);
    expect(outputOf("cairn --home anna-again restore")).toMatch(/restored 3 files.*every byte verified/);
    expect(outputOf("cairn --home anna-again verify")).toMatch(/^ok: .*[\s\S]* 0 missing, 0 corrupt/);
    expect(readdirSync(temporary)).toEqual([]);
    expect(readdirSync(home)).toEqual([]);
  },
  TUTORIAL_MS + 30_000,
);
