import { mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Fault } from "../../../src/base/fault.ts";
import { displayPath } from "../../../src/base/paths.ts";
import type { InitReport, RecoverOptions } from "../../../src/cli/local-operations.ts";
import { textOfBytes } from "../../../src/cli/raw-arguments.ts";
import type {
  ForgetRequest,
  RestoreRequest,
  SnapshotRequest,
  SnapshotStdinRequest,
} from "../../../src/control/api.ts";
import {
  auditResult,
  entry,
  repairResult,
  repairStanding,
  restoreResult,
  SNAPSHOT_ID,
  SURVIVES,
  scrubResult,
  snapshotResult,
  statusResult,
  TIME,
  verifyResult,
} from "../../support/fake-handlers.ts";
import { type RunOptions, runCairn } from "../../support/fake-world.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-cli-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const WORDS = Array.from({ length: 24 }, (_, i) => `word${"abcdefghijklmnopqrstuvwx"[i]}`);
const report: InitReport = {
  words: WORDS,
  peerId: "12D3Koo",
  swarmId: "ab".repeat(32),
  ownerId: "cd".repeat(32),
  site: "north",
  name: "host-1",
  listen: ["/ip4/0.0.0.0/tcp/4001"],
  capacityBytes: 5,
};

describe("everywhere", () => {
  it.each([
    [{ CAIRN_HOME: "/env" }, ["--home", "/given"], 1000, "/given"],
    [{ CAIRN_HOME: "/env" }, [], 1000, "/env"],
    [{ XDG_DATA_HOME: "/data", HOME: "/home/u" }, [], 1000, "/data/cairn"],
    [{ XDG_DATA_HOME: "relative", HOME: "/home/u" }, [], 1000, "/home/u/.local/share/cairn"],
    [{ XDG_DATA_HOME: "/data" }, [], 0, "/var/lib/cairn"],
  ])("the home with %j and %j is for user %i %s", async (environment, argv, userId, home) => {
    expect((await runCairn(["status", ...argv], { environment, userId })).home).toBe(home);
    expect((await runCairn([...argv, "status"], { environment, userId })).home).toBe(home);
  });

  it("a choice that there is not is a usage error that names the option and the choices", async () => {
    const ran = await runCairn(["key", "sheet", "--format", "pdf"]);
    expect(ran.status).toBe(2);
    expect(ran.stderr).toMatch(/^cairn: --format: .*"text"\|"html"\.\n$/);
  });

  it("no home at all is a usage error", async () => {
    const ran = await runCairn(["status"], { environment: {} });
    expect(ran).toMatchObject({ status: 2, stdout: "" });
    expect(ran.stderr).toContain("--home DIR");
  });

  it.each([
    [["bogus"]],
    [["status", "--bogus"]],
    [["snapshot"]],
    [["snapshot", "/a", "--stdin"]],
    [["snapshot", "/a", "--profile", "six"]],
    [["snapshot", "/a", "--profile", "60+9"]],
    [["snapshot", "/a", "--wait", "forever"]],
    [["snapshot", "/a", "--exclude", "[a"]],
    [["snapshot", "/a", "--exclude-file", "/nowhere/x"]],
    [["snapshot", "/a", "--tag", textOfBytes(Uint8Array.of(0xe9))]],
    [["restore", "latest"]],
    [["restore", "nonsense", "--target", "/t"]],
    [["cat", "latest"]],
    [["forget", "ab12", "--keep-last", "3"]],
    [["prune", "ab12"]],
    [["forget", "--dry-run", "--keep-last", "some"]],
    [["pin", "latest:/srv"]],
    [["unmark", "latest:/srv"]],
    [["pin"]],
    [["snapshot", "--stdin-from-command"]],
    [["snapshot", "--stdin-from-command", "--stdin", "true"]],
    [["snapshot", "/a", "--command-timeout", "2h"]],
    [["restore", "--target", "/t"]],
    [["restore", "--at", "teatime", "--target", "/t"]],
    [["restore", "4f2a", "--at", "2026-11-03 14:00", "--target", "/t"]],
    [["restore", "--source", "till-3:srv", "--target", "/t"]],
    [["restore", "--source", ":/srv", "--target", "/t"]],
    [["restore", "4f2a", "--source", "till-3", "--target", "/t"]],
    [["find", "x", "--source", "till-3", "--snapshot", "4f"]],
    [["find", "x", "--at", "2026-11-03 14:00", "--snapshot", "4f"]],
    [["invite"]],
    [["invite", "--site", "a", "--expires", "soon"]],
    [["invite", "--site", "a", "--uses", "0"]],
    [["invite", "--site", "a", "--quota", "much"]],
    [["find"]],
    [["diff", "latest"]],
    [["diff", "latest:/a", "4f:/b"]],
    [["recover", "--recovery-key", "-"]],
    [["init", "--site", "a", "--capacity", "much"]],
    [["status", "too", "many"]],
    [["scrub", "--now", "--pause"]],
    [["maintenance", "3h", "--end"]],
    [["maintenance", "soon"]],
    [["drain", "--status", "--cancel"]],
    [["shards", "--owner", "somebody"]],
  ])("%j exits with 2, says so and asks nobody", async (argv) => {
    const ran = await runCairn(argv);
    expect(ran).toMatchObject({ status: 2, stdout: "", home: undefined });
    expect(ran.stderr).toMatch(/^cairn: /);
    const json = await runCairn([...argv, "--json"]);
    expect(json.status).toBe(2);
    expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: "USAGE" } });
  });

  it("help and version go to standard output and exit with 0", async () => {
    expect(await runCairn(["--version"])).toMatchObject({ status: 0, stdout: "0.1.0\n", stderr: "" });
    for (const argv of [["help"], ["--help"], ["help", "restore"], ["restore", "--help"]]) {
      const ran = await runCairn(argv);
      expect(ran).toMatchObject({ status: 0, stderr: "" });
      expect(ran.stdout).toContain("Usage: cairn");
    }
    expect((await runCairn(["help", "restore"])).stdout).toMatch(
      /Exit status:\n {4}0 {2}done\n[\s\S]* 11 {2}not enough/,
    );
  });

  it("prints what the daemon threw, with its exit status", async () => {
    const handlers: RunOptions["handlers"] = {
      status: async () => {
        throw new Fault({ code: "DAEMON_NOT_RUNNING", home: "/h" });
      },
    };
    const text = await runCairn(["status"], { handlers });
    expect(text).toMatchObject({ status: 5, stdout: "" });
    expect(text.stderr).toBe(`cairn: No daemon is running for /h; start it with "cairn daemon".\n`);
    const json = await runCairn(["--json", "status"], { handlers });
    expect(JSON.parse(json.stdout)).toEqual({
      error: {
        code: "DAEMON_NOT_RUNNING",
        message: `No daemon is running for /h; start it with "cairn daemon".`,
        detail: { home: "/h" },
      },
    });
  });

  it("an interruption cancels, exits with 130 and prints no result", async () => {
    let interrupt = (): void => {};
    const ran = await runCairn(["snapshot", "/a"], {
      interrupt: (given) => {
        interrupt = given;
      },
      handlers: {
        snapshot: (_request, { signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener("abort", () => reject(signal.reason));
            interrupt();
          }),
      },
    });
    expect(ran).toMatchObject({ status: 130, stdout: "" });
    expect(ran.stderr).toContain("the next run goes on from there");
  });

  it("a reader that closes our output ends the command quietly", async () => {
    let listed = 0;
    const stdout = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
    const ran = await runCairn(["ls", "latest"], {
      world: { stdout },
      handlers: {
        async *ls() {
          for (; listed < 1_000_000; listed++) yield entry(`/srv/${listed}`);
          return { snapshotId: SNAPSHOT_ID, time: TIME, entries: listed, bytes: 0 };
        },
      },
    });
    expect(ran).toMatchObject({ status: 141, stderr: "" });
    expect(listed).toBeLessThan(100_000);
  });
});

describe("snapshot", () => {
  const asked = async (argv: readonly string[]): Promise<SnapshotRequest | undefined> => {
    let request: SnapshotRequest | undefined;
    const handlers: RunOptions["handlers"] = {
      snapshot: async (given) => {
        request = given;
        return snapshotResult();
      },
    };
    expect((await runCairn(["snapshot", ...argv], { handlers })).status).toBe(0);
    return request;
  };

  it("makes paths absolute, as the bytes they are", async () => {
    const latin1 = Uint8Array.of(0x63, 0xe9);
    const request = await asked(["a/../b", "/srv//x/", textOfBytes(latin1), "."]);
    expect(request?.paths.map(displayPath)).toEqual([
      "/some/dir/b",
      "/srv/x",
      "/some/dir/c\ufffd",
      "/some/dir",
    ]);
    expect(request?.paths[2]?.endsWith("/c\xe9")).toBe(true);
  });

  it("hands on what was asked for", async () => {
    await writeFile(join(folder, "excludes"), "# comment\n*.tmp\n!keep.tmp\n");
    const options = [
      "--tag",
      "x",
      "--tag",
      "y",
      "--exclude",
      "*.o",
      "--exclude-file",
      join(folder, "excludes"),
    ];
    const request = await asked([
      ...options,
      "--one-file-system",
      "--profile",
      "6+3",
      "--wait",
      "queued",
      "/a",
    ]);
    expect(request).toEqual({
      paths: ["/a"],
      tags: ["x", "y"],
      excludes: ["*.o", "*.tmp", "!keep.tmp"],
      oneFileSystem: true,
      profile: { k: 6, m: 3 },
      wait: "queued",
    });
    expect(await asked(["/a"])).toEqual({
      paths: ["/a"],
      tags: [],
      excludes: [],
      oneFileSystem: false,
      wait: "safe",
    });
  });

  it("saves standard input under a name", async () => {
    let request: SnapshotStdinRequest | undefined;
    let bytes = "";
    const ran = await runCairn(["snapshot", "--stdin", "--stdin-filename", "db/dump.sql", "--json"], {
      stdin: "hello",
      handlers: {
        async snapshotStdin(given, _context, body) {
          request = given;
          for await (const chunk of body) bytes += Buffer.from(chunk).toString();
          return snapshotResult();
        },
      },
    });
    expect(ran.status).toBe(0);
    expect(request).toEqual({ filename: "/db/dump.sql", tags: [], wait: "safe" });
    expect(bytes).toBe("hello");
  });

  describe("of a command", () => {
    const run = async (argv: readonly string[], ...options: string[]) => {
      let saved = "";
      let ended = false;
      const ran = await runCairn(["snapshot", "--stdin-from-command", "--json", ...options, "--", ...argv], {
        handlers: {
          async snapshotStdin(_given, _context, body) {
            for await (const chunk of body) saved += Buffer.from(chunk).toString();
            ended = true;
            return snapshotResult();
          },
        },
      });
      return { ...ran, saved, ended, json: JSON.parse(ran.stdout) };
    };

    it("saves what it writes, and shows what it said", async () => {
      const ran = await run(["sh", "-c", 'printf %s "$1"; echo careful >&2', "sh", "--json"]);
      expect(ran).toMatchObject({ status: 0, saved: "--json", ended: true });
      expect(ran.json.notes).toEqual(["The command said:\n  careful"]);
      expect((await run(["true"])).json.notes).toEqual([expect.stringContaining("wrote nothing")]);
    });

    it.each([
      [["sh", "-c", "echo half; echo disk on fire >&2; exit 3"], "it exited with status 3", "disk on fire"],
      [["sh", "-c", "echo half; kill -KILL $$"], "it was ended by SIGKILL", ""],
      [["/nowhere/pg_dump"], "it could not be started: spawn /nowhere/pg_dump ENOENT", ""],
    ])("%j makes no snapshot and says why", async (argv, reason, stderr) => {
      const ran = await run(argv);
      expect(ran).toMatchObject({ status: 1, ended: false });
      expect(ran.json.error).toMatchObject({ code: "COMMAND_FAILED", detail: { reason, stderr } });
      expect(ran.stderr).toContain("no snapshot was made");
      expect(ran.stderr).toContain(stderr);
    });

    it("is stopped, with what it started, when it takes too long; of a flood only the end is kept", async () => {
      const flood = "i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; sleep 1000; true";
      const ran = await run(["sh", "-c", flood], "--command-timeout", "2s");
      expect(ran).toMatchObject({ status: 1, ended: false });
      const { reason, stderr } = ran.json.error.detail;
      expect(reason).toBe("it took longer than 2000 ms");
      expect(stderr.length).toBeLessThanOrEqual(4096);
      expect(stderr).toMatch(/line 1999$/);
    });
  });

  it.each([
    [{ state: "safe" }, 0],
    [{ state: "full" }, 0],
    [{ state: "placed" }, 4],
    [{ state: "pending" }, 4],
    [{ state: "partial" }, 1],
    [{ state: "safe", unreadableCount: 1 }, 3],
    [{ state: "pending", unreadableCount: 1 }, 3],
  ] as const)("%j exits with %i", async (changes, status) => {
    const handlers: RunOptions["handlers"] = { snapshot: async () => snapshotResult(changes) };
    const ran = await runCairn(["snapshot", "/a", "--json"], { handlers });
    expect(ran.status).toBe(status);
    expect(JSON.parse(ran.stdout)).toEqual({ type: "summary", ...snapshotResult(changes) });
  });

  it("says in two lines what was saved, and lists what was not", async () => {
    const unreadable = Array.from({ length: 25 }, (_, i) => ({ ...entry(`/srv/${i}\n`), errno: "EACCES" }));
    const handlers: RunOptions["handlers"] = {
      snapshot: async () => snapshotResult({ unreadable, unreadableCount: 25, notes: ["A note."] }),
    };
    const ran = await runCairn(["snapshot", "/a"], { handlers });
    expect(ran.stdout).toBe(
      "snapshot 4f2a9c000000 safe: survives the loss of any 1 site, or of any 3 nodes\n" +
        "12 files, 3 directories: 4.77 MiB read, 3.81 MiB new, 8.58 MiB stored in 2 segments (3+3), 2.5 s\n",
    );
    expect(ran.stderr).toContain(
      "A note.\n25 paths could not be read and are not in the snapshot:\n  /srv/0\\n (EACCES)\n",
    );
    expect(ran.stderr).toContain("  ... and 5 more; --json lists them.\n");
    expect(ran.stderr.split("\n").length).toBeLessThan(30);
  });

  it("shows progress on a terminal or when told to, never on standard output", async () => {
    const handlers: RunOptions["handlers"] = {
      snapshot: async (_request, { progress }) => {
        for (let i = 0; i <= 10; i++)
          progress({
            type: "progress",
            phase: "read",
            bytes: i * 2 ** 20,
            bytesTotal: 10 * 2 ** 20,
            files: i,
          });
        return snapshotResult();
      },
    };
    expect((await runCairn(["snapshot", "/a"], { handlers })).stderr).toBe("");
    const logged = await runCairn(["snapshot", "/a", "--progress"], { handlers });
    expect(logged.stderr).toMatch(/read {5}.* of 10\.0 MiB {2}\d+ % .*MiB\/s {2}ETA .* files\n/);
    expect(logged.stderr).not.toContain("\r");
    const terminal = await runCairn(["snapshot", "/a"], { handlers, terminal: true });
    expect(terminal.stderr).toContain("\r\x1b[Kread");
    expect(terminal.stderr.endsWith("\r\x1b[K")).toBe(true);
    expect(terminal.stdout).not.toContain("read     ");
  });

  it("with --json and --progress gives progress as lines before the summary", async () => {
    const handlers: RunOptions["handlers"] = {
      snapshot: async (_request, { progress }) => {
        progress({ type: "progress", phase: "read", bytes: 1 });
        return snapshotResult();
      },
    };
    const ran = await runCairn(["snapshot", "/a", "--progress", "--json"], { handlers });
    const types = ran.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).type);
    expect(types).toEqual(["progress", "summary"]);
  });
});

it("usage says what is whose, and at which peers", async () => {
  const ran = await runCairn(["usage"]);
  expect(ran.stdout).toBe(
    "in snapshots  2.86 MiB, 976.6 KiB without duplicates\n" +
      "stored        1.91 MiB in 4 segments\n" +
      "  shared      1.43 MiB in 2 segments, needed by more than one snapshot\n" +
      "  own         390.6 KiB, needed by one\n" +
      "  not needed  97.7 KiB in 1 segment: of snapshots that broke off, or of indexes that were written anew\n" +
      "\n" +
      "PEER    SITE     SHARDS    STORED\n" +
      "till-3  leipzig       4  1.91 MiB\n" +
      "\n" +
      "ID            TIME (UTC)               SIZE        OWN  TAGS\n" +
      "4f2a9c000000  2026-11-21 03:04:05  2.86 MiB  390.6 KiB  db\n",
  );
  expect(JSON.parse((await runCairn(["usage", "--json"])).stdout)).toMatchObject({ shared: { segments: 2 } });
});

it.each([["policy-invalid"], ["set-failing"], ["set-overdue"]])(
  "status exits with 4 under the alert %s",
  async (code) => {
    const handlers: RunOptions["handlers"] = {
      status: async () => statusResult({ alerts: [{ code, text: "Set shop could not be saved." }] }),
    };
    expect((await runCairn(["status"], { handlers })).status).toBe(4);
  },
);

describe("forget and pin", () => {
  it("shows the reason for each, and hands on rules to try", async () => {
    let request: ForgetRequest | undefined;
    const verdict = { snapshotId: SNAPSHOT_ID, time: TIME, set: "shop", tags: [], pinned: false };
    const handlers: RunOptions["handlers"] = {
      forget: async (given) => {
        request = given;
        return {
          dryRun: true,
          clockAheadMs: -7_200_000,
          sets: [{ set: "shop", rules: "daily 7", kept: 1, forgotten: 1 }],
          snapshots: [
            { ...verdict, keep: false, reasons: [{ rule: "not-kept", text: "no rule keeps it (daily 7)" }] },
            {
              ...verdict,
              keep: true,
              reasons: [
                { rule: "daily", text: "daily" },
                { rule: "pinned", text: "it is pinned" },
              ],
            },
          ],
        };
      },
    };
    const tried = ["--keep-daily", "7", "--keep-yearly", "all", "--keep-tag", "x"];
    const ran = await runCairn(["forget", "--dry-run", "--set", "shop", ...tried], { handlers });
    expect(request).toEqual({
      dryRun: true,
      set: "shop",
      keep: { daily: 7, yearly: "all", tags: ["x"] },
    });
    expect(ran.stdout).toContain(
      "forget  4f2a9c000000  2026-11-21 03:04:05  shop  no rule keeps it (daily 7)\n",
    );
    expect(ran.stdout).toContain("keep    4f2a9c000000  2026-11-21 03:04:05  shop  daily, it is pinned\n");
    expect(ran.stdout).toContain("clock was 2 h 0 min behind its peers'");
    expect(ran.stdout).toMatch(/nothing was forgotten: this was a dry run\n$/);
    await runCairn(["forget", "--dry-run"], { handlers });
    expect(request).toEqual({ dryRun: true });
  });

  it.each([
    ["pin", true],
    ["unpin", false],
  ])("%s says so, and when others will know", async (verb, pinned) => {
    const ran = await runCairn([verb, "4f2a"]);
    expect(ran.stdout).toBe(
      `snapshot 4f2a9c000000 of 2026-11-21 03:04:05 UTC is ${pinned ? "pinned" : "not pinned"}; other machines have it with the next snapshot\n`,
    );
    expect(JSON.parse((await runCairn([verb, "4f2a", "--json"])).stdout)).toEqual({
      ...{ snapshotId: SNAPSHOT_ID, time: TIME, pinned },
    });
  });

  it("unmark says what a snapshot was marked for", async () => {
    const ran = await runCairn(["unmark", "4f2a"]);
    expect(ran.stdout).toBe(
      "snapshot 4f2a9c000000 of 2026-11-21 03:04:05 UTC is not marked any more; it was:\n  anomaly: 9 of 10 files are gone\n",
    );
  });
});

describe("restore and verify", () => {
  it("--at asks for the newest snapshot of that time or before, and says which it was", async () => {
    let request: RestoreRequest | undefined;
    const handlers: RunOptions["handlers"] = {
      restore: async (given) => {
        request = given;
        return restoreResult();
      },
    };
    const ran = await runCairn(["restore", "--at", "2026-11-22 03:00Z", "--target", "/t"], { handlers });
    expect(ran.status).toBe(0);
    expect(request).toMatchObject({ snapshot: "latest", atMs: Date.UTC(2026, 10, 22, 3) });
    expect(ran.stderr).toContain("2026-11-22 03:00:00 UTC:");
    expect(ran.stderr).toMatch(/Snapshot 4f2a9c000000 of 2026-11-2[01] \d\d:04:05 \(/);
    await runCairn(["restore", "latest:/srv", "--at", "2026-11-22 03:00Z", "--target", "/t"], { handlers });
    expect(request).toMatchObject({ snapshot: "latest", path: "/srv", atMs: Date.UTC(2026, 10, 22, 3) });
  });

  it("--source asks for the newest of a machine and a path, whose contents go into the target", async () => {
    let request: RestoreRequest | undefined;
    const handlers: RunOptions["handlers"] = {
      restore: async (given) => {
        request = given;
        return restoreResult();
      },
    };
    const source = { host: "till-3", path: "/srv/shop" };
    const asked = ["restore", "--target", "/t", "--source", "till-3:/srv/shop/"];
    const ran = await runCairn(asked, { handlers });
    expect(request).toMatchObject({ snapshot: "latest", source, path: "/srv/shop" });
    expect(ran.stderr).toContain("Snapshot 4f2a9c000000 of ");
    await runCairn([...asked, "--at", "2026-11-22 03:00Z"], { handlers });
    expect(request).toMatchObject({ source, atMs: Date.UTC(2026, 10, 22, 3) });
    await runCairn(["restore", "latest:/srv/shop/bread", "--target", "/t", "--source", "till-3"], {
      handlers,
    });
    expect(request).toMatchObject({ source: { host: "till-3" }, path: "/srv/shop/bread" });
  });

  it("hand on what was asked for", async () => {
    let request: RestoreRequest | undefined;
    const handlers: RunOptions["handlers"] = {
      restore: async (given) => {
        request = given;
        return restoreResult();
      },
    };
    const argv = [
      "restore",
      "4f2a:srv/../etc",
      "--target",
      "out",
      "--include",
      "*.c",
      "--overwrite",
      "never",
    ];
    const ran = await runCairn([...argv, "--delete", "--dry-run", "--partial", "--tag", "t"], { handlers });
    expect(ran.status).toBe(0);
    expect(request).toEqual({
      snapshot: "4f2a",
      tags: ["t"],
      paths: [],
      path: "/etc",
      target: "/some/dir/out",
      includes: ["*.c"],
      excludes: [],
      overwrite: "never",
      delete: true,
      dryRun: true,
      partial: true,
    });
  });

  it("says what was restored, and that something was not", async () => {
    const problems = [{ ...entry("/srv/dev"), what: "entry", reason: "EPERM" }];
    const handlers: RunOptions["handlers"] = {
      restore: async () => restoreResult({ problems, problemCount: 1, ownersNotRestored: 3 }),
    };
    const ran = await runCairn(["restore", "latest", "--target", "/t"], { handlers });
    expect(ran.status).toBe(3);
    expect(ran.stdout).toBe(
      "restored 12 files, 3 directories, 4.77 MiB into /t in 1.8 s; 3.91 MiB fetched, every byte verified\n",
    );
    expect(ran.stderr).toBe(
      "Owners were not set on 3 entries: the daemon does not run as root.\n" +
        "1 thing could not be restored:\n  /srv/dev: entry (EPERM)\n",
    );
  });

  it("say which shards are missing and who has them", async () => {
    const detail = {
      code: "TOO_FEW_SHARDS" as const,
      shortages: [
        {
          segment: { owner: "cd".repeat(32), incarnation: "ef".repeat(16), number: 7 },
          have: 1,
          need: 3,
          holders: [],
        },
      ],
    };
    const { faultFromJson } = await import("../../../src/control/fault-json.ts");
    const fault = faultFromJson({ error: { code: detail.code, message: "", detail: { ...detail } } });
    const handlers: RunOptions["handlers"] = {
      restore: async () => {
        throw fault;
      },
    };
    const ran = await runCairn(["restore", "latest", "--target", "/t"], { handlers });
    expect(ran.status).toBe(11);
    expect(ran.stderr).toContain("  segment 7: 1 of 3, 2 more needed from: no holder known\n");
  });

  it.each([
    [{ state: "ok" }, 0],
    [{ state: "weak" }, 4],
    [{ state: "unreadable" }, 11],
    [{ state: "ok", corruptCount: 1 }, 4],
  ] as const)("a check that finds %j exits with %i", async (changes, status) => {
    const handlers: RunOptions["handlers"] = { verify: async () => verifyResult(changes) };
    expect((await runCairn(["verify", "latest"], { handlers })).status).toBe(status);
  });

  it.each([
    [{ now: true, corrupt: 0 }, 0],
    [{ now: true, corrupt: 1 }, 4],
    [{ now: false, corrupt: 1 }, 0],
    [{ now: false, suspects: 1 }, 4],
  ])("an audit that finds %j exits with %i", async (changes, status) => {
    const handlers: RunOptions["handlers"] = { audit: async () => auditResult(changes) };
    expect((await runCairn(["audit"], { handlers })).status).toBe(status);
  });

  it.each([
    [{}, 0],
    [{ standing: repairStanding({ belowPolicy: 1 }) }, 4],
    [{ standing: repairStanding({ unknown: 1 }) }, 4],
    [{ held: 1 }, 4],
    [{ repaired: 3, corrupt: 3 }, 0],
  ])("a repair after which %j exits with %i", async (changes, status) => {
    const handlers: RunOptions["handlers"] = { repair: async () => repairResult(changes) };
    expect((await runCairn(["repair", "--now"], { handlers })).status).toBe(status);
  });
});

describe("repair", () => {
  const queue = {
    ...repairStanding().queue,
    segments: 2,
    shards: 3,
    bytes: 9_000_000,
    worstMargin: 1,
    expectedFinish: TIME,
    reasons: [{ reason: "absent", shards: 3 }],
    waiting: { shards: 5, nextDue: TIME },
    stuck: [{ why: "6 shards need 6 holders", shards: 4 }],
  };
  const repair = repairStanding({ belowPolicy: 2, weather: "frozen", queue });

  it("status says what is due, why, until when, and exits with 4 when something is below policy", async () => {
    const handlers: RunOptions["handlers"] = { status: async () => statusResult({ repair }) };
    const { stdout, status } = await runCairn(["status"], { handlers });
    expect(status).toBe(4);
    expect(stdout).toMatch(/2 BELOW POLICY; worst margin 1/);
    expect(stdout).toMatch(/3 shards of 2 segments to repair, .* done at about 2026-11-21 .*\(absent 3\)/);
    expect(stdout).toMatch(/5 shards waited for, the first until 2026-11-21/);
    expect(stdout).toContain("weather: frozen");
    const json = JSON.parse((await runCairn(["status", "--json"], { handlers })).stdout);
    expect(json.repair).toEqual(repair);
  });

  it("shows what can go nowhere, and why", async () => {
    const handlers: RunOptions["handlers"] = { repair: async () => repairResult({ standing: repair }) };
    const { stdout, status } = await runCairn(["repair"], { handlers });
    expect(status).toBe(4);
    expect(stdout).toContain("4 shards: 6 shards need 6 holders");
  });
});

describe("who is up", () => {
  const away = {
    peerId: "12D3KooWAway",
    name: "till-9",
    state: "absent" as const,
    since: TIME,
    plannedUntil: "2026-11-23T08:00:00.000Z",
  };
  const presence = {
    states: { alive: 8, draining: 0, unreachable: 0, absent: 1, lost: 0 },
    away: [away],
    weather: { kind: "frozen" as const, until: TIME, gone: 3 },
    events: { unreachable: 1, absent: 1, lost: 0, returned: 0, freezes: 1, cutOffs: 0 },
  };

  it("status names who is away, since when, and until when that was announced", async () => {
    const handlers: RunOptions["handlers"] = { status: async () => statusResult({ presence }) };
    const { stdout } = await runCairn(["status"], { handlers });
    expect(stdout).toMatch(/1 absent/);
    expect(stdout).toMatch(/till-9: absent since .* UTC, planned until 2026-11-23 08:00:00 UTC/);
    expect(stdout).toContain("FROZEN");
    const json = JSON.parse((await runCairn(["status", "--json"], { handlers })).stdout);
    expect(json.presence).toEqual(presence);
  });

  it("a node that has just begun to listen is not called cut off", async () => {
    const weather = { kind: "cut-off" as const, seen: 2, of: 4 };
    const shown = async (more: { isListening?: true }): Promise<string> => {
      const status = async () =>
        statusResult({ presence: { ...presence, weather: { ...weather, ...more } } });
      return (await runCairn(["status"], { handlers: { status } })).stdout;
    };
    expect(await shown({ isListening: true })).toMatch(/has heard 2 of 4 members since its start/);
    expect(await shown({ isListening: true })).not.toContain("CUT-OFF");
    expect(await shown({})).toContain("CUT-OFF");
  });

  it("says whose word it is that a node that answers is lost, and who is on the way back", async () => {
    const declared = { state: "lost" as const, since: TIME, declaredLost: true as const };
    const away = [{ peerId: "12D3KooWaway", name: "till-9", ...declared }];
    const node = { site: "jena", holder: true, addresses: [] };
    const handlers: RunOptions["handlers"] = {
      status: async () => statusResult({ presence: { ...presence, away } }),
      peers: async () => ({
        peers: [
          { ...node, peerId: "12D3a", name: "till-7", state: "alive", liveness: declared },
          {
            ...node,
            peerId: "12D3b",
            name: "till-8",
            state: "alive",
            liveness: { state: "lost", since: TIME },
          },
        ],
      }),
    };
    expect((await runCairn(["status"], { handlers })).stdout).toMatch(
      /till-9: lost since 2026-11-21 .* UTC, as an administrator said/,
    );
    const { stdout } = await runCairn(["peers"], { handlers });
    expect(stdout).toMatch(/till-7 +jena +declared lost/);
    expect(stdout).toMatch(/till-8 +jena +returning/);
    const lastSeen = "2026-11-21T09:00:00.000Z";
    const gone = { ...node, peerId: "12D3c", name: "till-6", state: "unreachable" as const, lastSeen };
    const only = {
      peers: async () => ({ peers: [{ ...gone, liveness: { state: "alive" as const, since: TIME } }] }),
    };
    expect((await runCairn(["peers"], { handlers: only })).stdout).toMatch(
      /till-6 +jena +unreachable +2026-11-21 09:00:00/,
    );
  });

  it("of a swarm that it is no part of any more a node says nothing, but who took its place", async () => {
    const standing = { state: "fenced" as const, since: TIME, by: "12D3KooWnext", byName: "till-1" };
    const handlers: RunOptions["handlers"] = { status: async () => statusResult({ presence, standing }) };
    const { stdout, status } = await runCairn(["status"], { handlers });
    expect(status).toBe(4);
    expect(stdout).toMatch(/^standing +FENCED, read-only since .* by till-1 \(12D3KooWnext\)/);
    expect(stdout).not.toMatch(/absent|CUT-OFF|FROZEN/);
  });

  it("peers shows who is absent besides who has no connection", async () => {
    const { state, since, plannedUntil } = away;
    const peer = { name: "till-9", site: "jena", holder: true, addresses: [], peerId: away.peerId };
    const handlers: RunOptions["handlers"] = {
      peers: async () => ({
        peers: [{ ...peer, state: "unreachable", liveness: { state, since, plannedUntil } }],
      }),
    };
    const { stdout } = await runCairn(["peers"], { handlers });
    expect(stdout).toMatch(/till-9\s+jena\s+absent, planned until 2026-11-23 08:00:00/);
  });

  it.each([
    [["maintenance", "3h"], { action: "begin", forMs: 10_800_000 }],
    [["maintenance", "--end"], { action: "end" }],
    [["maintenance"], { action: "status" }],
  ])("%j asks for %j", async (line, expected) => {
    const asked: unknown[] = [];
    const handlers: RunOptions["handlers"] = {
      async maintenance(request) {
        asked.push(request);
        return { connected: 3, ...(request.action === "begin" ? { until: TIME } : {}) };
      },
    };
    const { stdout, status } = await runCairn(line, { handlers });
    expect(status).toBe(0);
    expect(asked).toEqual([expected]);
    expect(stdout).toMatch(
      expected.action === "begin" ? /until .* It spreads from 3 connected members/ : /No outage/,
    );
  });
});

describe("drain", () => {
  const nothing = {
    shardsLeft: 0,
    bytesLeft: 0,
    bytesMoved: 0,
    shardsUnknown: 0,
    shardsSurplus: 0,
    stuck: [],
  };

  it.each([
    [["drain"], { action: "begin", wait: true }],
    [["drain", "--detach"], { action: "begin", wait: false }],
    [["drain", "--status"], { action: "status", wait: false }],
    [["drain", "--cancel"], { action: "cancel", wait: false }],
  ])("%j asks for %j", async (line, expected) => {
    const asked: unknown[] = [];
    const handlers: RunOptions["handlers"] = {
      async drain(request) {
        asked.push(request);
        return { ...nothing, state: "draining" };
      },
    };
    expect(await runCairn(line, { handlers })).toMatchObject({ status: 0 });
    expect(asked).toEqual([expected]);
  });

  it("says when the node may be switched off, and exits with 4 and says why when something has nowhere to go", async () => {
    const done: RunOptions["handlers"] = { drain: async () => ({ ...nothing, state: "done" }) };
    expect(await runCairn(["drain"], { handlers: done })).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/may be switched off/),
    });
    const stuck = [{ ownerId: "ab".repeat(32), row: "12345678/0/3/3", why: "nobody is left" }];
    const handlers: RunOptions["handlers"] = {
      drain: async () => ({ ...nothing, state: "stuck", shardsLeft: 2, stuck }),
    };
    const ran = await runCairn(["drain"], { handlers });
    expect(ran).toMatchObject({ status: 4 });
    expect(ran.stdout).toMatch(/Do NOT switch this node off[\s\S]*nobody is left/);
  });
});

describe("scrub and shards", () => {
  it.each([
    [{}, 0],
    [{ corrupt: 1, quarantined: 1 }, 4],
    [{ waiting: 3 }, 4],
    [{ disk: { state: "gone" as const, reason: "not mounted" } }, 4],
  ])("a scrub that finds %j exits with %i", async (changes, status) => {
    const handlers: RunOptions["handlers"] = { scrub: async () => scrubResult(changes) };
    expect((await runCairn(["scrub", "--now"], { handlers })).status).toBe(status);
  });

  it("counts in words and in JSON, and asks for what was asked", async () => {
    const asked: unknown[] = [];
    const bad = { ownerId: "ab".repeat(32), incarnation: "ef".repeat(16), number: 7, index: 2, bytes: 9 };
    const found = scrubResult({
      corrupt: 1,
      quarantined: 1,
      waiting: 1,
      bad: [{ ...bad, reason: "wrong: its root\n is another", since: TIME }],
    });
    const handlers: RunOptions["handlers"] = {
      async scrub(request) {
        asked.push(request);
        return found;
      },
    };
    const { stdout } = await runCairn(["scrub", "--now", "--accept-missing"], { handlers });
    expect(stdout).toMatch(
      /412 shards scanned \(2\.86 MiB\), 1 corrupt, 1 quarantined, 0 repaired, 0 B moved/,
    );
    expect(stdout).toContain("oldest unverified byte: 5.0 s; the bound is 30 d");
    expect(stdout).toContain("/7/2: wrong: its root\\n is another");
    expect(JSON.parse((await runCairn(["scrub", "--json"], { handlers })).stdout)).toEqual(found);
    expect(asked).toEqual([
      { action: "now", acceptMissing: true },
      { action: "status", acceptMissing: false },
    ]);
  });

  it("shards are listed with their place", async () => {
    const { stdout, status } = await runCairn(["shards", "--owner", "CD"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^(cd){32}\/(ef){16}\/5\/2 {2}100 bytes {2}\/home\/shards\/x from 0\n$/);
    const lines = (await runCairn(["shards", "--json"])).stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { number: 5, index: 2, file: "/home/shards/x", offset: 0 },
      { type: "summary", shards: 1, bytes: 100 },
    ]);
  });
});

describe("looking", () => {
  const latin1 = {
    ...entry("/srv/x"),
    path: "/srv/\ufffd",
    pathBase64: Buffer.from([0x2f, 0xe9, 0x1b]).toString("base64"),
  };
  const handlers: RunOptions["handlers"] = {
    async *ls() {
      yield latin1;
      return { snapshotId: SNAPSHOT_ID, time: TIME, entries: 1, bytes: 1234 };
    },
  };

  it("ls gives other programs the bytes and terminals no control characters", async () => {
    expect([...(await runCairn(["ls", "latest"], { handlers })).stdoutBytes]).toEqual([
      0x2f, 0xe9, 0x1b, 0x0a,
    ]);
    const shown = { ...latin1, path: "/\x1b[31m\u202e" };
    const evil: RunOptions["handlers"] = {
      async *ls() {
        yield shown;
        return { snapshotId: SNAPSHOT_ID, time: TIME, entries: 1, bytes: 0 };
      },
    };
    expect((await runCairn(["ls", "latest"], { handlers: evil, terminal: true })).stdout).toBe(
      "/\\x1b[31m\\u202e\n",
    );
  });

  it("ls --json is one entry a line and a summary", async () => {
    const lines = (await runCairn(["ls", "latest", "--json"], { handlers })).stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      latin1,
      { type: "summary", snapshotId: SNAPSHOT_ID, time: TIME, entries: 1, bytes: 1234 },
    ]);
  });

  it("ls --long, find and diff", async () => {
    const long = await runCairn(["ls", "latest", "-l"]);
    expect(long.stdout).toBe("-rw-r--r-- root     root             1234 2026-11-20 01:02:03 /srv/a\n");
    expect((await runCairn(["find", "a"])).stdout).toBe("4f2a9c000000  2026-11-21 03:04:05  /srv/a\n");
    expect((await runCairn(["diff", "4f", "latest"])).stdout).toMatch(
      /^\+ \/srv\/a\n4f2a9c000000 to .*1 entry added/,
    );
  });

  it("cat writes the bytes of the file and nothing else", async () => {
    expect((await runCairn(["cat", "latest:/srv/a"])).stdout).toBe("contents");
  });

  it("snapshots and peers are tables, and arrays in JSON", async () => {
    const snapshot = {
      snapshotId: SNAPSHOT_ID,
      sequence: 1,
      time: TIME,
      host: "till-3",
      paths: ["/srv"],
      pathsBase64: ["L3Nydg=="],
      tags: ["daily"],
      pinned: false,
      files: 12,
      directories: 3,
      bytes: 5_000_000,
      state: "safe" as const,
      survives: SURVIVES,
    };
    const listing: RunOptions["handlers"] = { snapshots: async () => ({ snapshots: [snapshot] }) };
    expect((await runCairn(["snapshots"], { handlers: listing })).stdout).toBe(
      "ID            TIME (UTC)           HOST    STATE  FILES      SIZE  SITES  NODES  TAGS   PATHS\n" +
        "4f2a9c000000  2026-11-21 03:04:05  till-3  safe      12  4.77 MiB      1      3  daily  /srv\n",
    );
    expect(JSON.parse((await runCairn(["snapshots", "--json"], { handlers: listing })).stdout)).toEqual([
      snapshot,
    ]);
    const pinned: RunOptions["handlers"] = {
      snapshots: async () => ({ snapshots: [{ ...snapshot, pinned: true }] }),
    };
    expect((await runCairn(["snapshots"], { handlers: pinned })).stdout).toContain("daily (pinned)  /srv\n");
    expect((await runCairn(["snapshots"])).stdout).toBe("no snapshots\n");
    expect((await runCairn(["peers"])).stdout).toMatch(
      /^NAME +SITE .*\ntill-3 +leipzig +self +- +yes +1\.00 GiB +1\.00 TiB +- /,
    );
    expect(JSON.parse((await runCairn(["peers", "--json"])).stdout)).toHaveLength(1);
  });

  it("status fits on a screen and is one JSON document", async () => {
    const ran = await runCairn(["status"]);
    expect(ran.stdout.split("\n").length).toBeLessThan(16);
    expect(ran.stdout).toContain("swarm       abababababab: 8 of 9 members up, 3 sites, 1 administrator\n");
    expect(ran.stdout).toContain(
      "protection  safe: survives the loss of any 1 site, or of any 3 nodes; lowest margin 2 (1 segment)\n",
    );
    expect(JSON.parse((await runCairn(["status", "--json"])).stdout)).toEqual(statusResult());
  });

  it("invite prints the token alone", async () => {
    expect((await runCairn(["invite", "--site", "north"])).stdout).toBe("cairn1-abc\n");
    const bounded = await runCairn(["invite", "--site", "north", "--quota", "2TiB", "--json"]);
    expect(JSON.parse(bounded.stdout)).toMatchObject({ quotaBytes: 2 * 2 ** 40 });
  });
});

describe("commands without a daemon", () => {
  const local = { initHome: async () => report, completeNewHome: async () => {} };

  it("init shows the recovery key once, as a block to write down", async () => {
    const ran = await runCairn(["init", "--site", "north"], { local });
    expect(ran.status).toBe(0);
    expect(ran.stdout).toContain("New swarm abababababab: host-1 at site north.\n");
    expect(ran.stderr).toMatch(/one administrator.* "cairn admin add PEER"/);
    expect(ran.stdout).toMatch(/ {3}1\. worda {6}2\. wordb {6}3\. wordc {6}4\. wordd\n {3}5\. /);
    expect(ran.stdout.match(/^ +\d+\. /gm)).toHaveLength(6);
    const json = JSON.parse((await runCairn(["init", "--site", "north", "--json"], { local })).stdout);
    expect(json).toMatchObject({ recoveryKey: WORDS.join(" "), peerId: "12D3Koo" });
    expect(json).not.toHaveProperty("words");
  });

  it("or writes it to a new file that only this user can read, and shows it nowhere", async () => {
    const file = join(folder, "key");
    const argv = ["init", "--site", "north", "--recovery-key-out", file];
    const ran = await runCairn(argv, { local });
    expect(ran.stdout).not.toContain("worda");
    expect(await readFile(file, "utf8")).toBe(`${WORDS.join(" ")}\n`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const again = await runCairn(argv, { local: {} });
    expect(again).toMatchObject({ status: 2 });
    expect(again.stderr).toContain("exists already");
  });

  it("makes the home one only after the words were handed over", async () => {
    const file = join(folder, "key");
    const seen: string[] = [];
    const completeNewHome = async () => void seen.push(await readFile(file, "utf8"));
    const argv = ["init", "--site", "north", "--recovery-key-out", file];
    expect((await runCairn(argv, { local: { ...local, completeNewHome } })).status).toBe(0);
    expect(seen).toEqual([`${WORDS.join(" ")}\n`]);
  });

  it("takes the empty key file that an earlier run left, but nobody else's", async () => {
    const file = join(folder, "key");
    const argv = ["init", "--site", "north", "--recovery-key-out", file];
    await writeFile(file, "", { mode: 0o600 });
    expect((await runCairn(argv, { local })).status).toBe(0);
    expect(await readFile(file, "utf8")).toBe(`${WORDS.join(" ")}\n`);
    await rm(file);
    await writeFile(file, "", { mode: 0o644 });
    expect((await runCairn(argv, { local: {} })).status).toBe(2);
    await rm(file);
    await symlink(join(folder, "elsewhere"), file);
    await writeFile(join(folder, "elsewhere"), "", { mode: 0o600 });
    expect((await runCairn(argv, { local: {} })).status).toBe(2);
  });

  it("leaves no empty key file behind when init fails", async () => {
    const file = join(folder, "key");
    const failing = {
      initHome: async () => {
        throw new Fault({ code: "HOME_EXISTS", home: "/h" });
      },
    };
    const ran = await runCairn(["init", "--site", "north", "--recovery-key-out", file], { local: failing });
    expect(ran.status).toBe(1);
    await expect(stat(file)).rejects.toMatchObject({ code: "ENOENT" });
  });

  const RECOVERED_HEAD = {
    id: "ee".repeat(32),
    time: TIME,
    ageMs: 7_200_000,
    incarnation: "ef".repeat(16),
    certified: true,
    epoch: 9,
    shownBy: 3,
    chosen: true,
    fork: false,
    tooFarAhead: false,
  };

  const recover = async (argv: readonly string[], stdin: string) => {
    let options: RecoverOptions | undefined;
    const ran = await runCairn(["recover", ...argv], {
      stdin,
      local: {
        recoverHome: async (given) => {
          options = given;
          return {
            ownerId: "cd".repeat(32),
            peerId: "12D3Koo",
            name: "till-1",
            site: "north",
            members: { asked: 5, answered: 4 },
            pool: { members: 5, answered: 4 },
            silent: [{ peerId: "12D3Kaa", name: "till\x1b[2J", site: "south", reason: "no connection" }],
            head: RECOVERED_HEAD,
            heads: [RECOVERED_HEAD, { ...RECOVERED_HEAD, id: "dd".repeat(32), chosen: false, fork: true }],
            snapshots: 3,
            snapshotList: [
              {
                snapshotId: "aa".repeat(32),
                time: TIME,
                host: "h",
                paths: ["/srv"],
                tags: [],
                files: 2,
                bytes: 2048,
                state: "pending",
                segmentsMissing: 1,
                fromHead: "bb".repeat(32),
              },
            ],
            missing: { indexRuns: 0, indexPages: 1, snapshotPages: 0, olderHeads: 0, segments: 1 },
            readOnly: false,
            warnings: ["An older state has more."],
            bytesFetched: 1024,
          };
        },
      },
    });
    return { ran, options };
  };

  it("recover takes the words however they were written down", async () => {
    const block = WORDS.map((word, i) => `${i + 1}. ${word.toUpperCase()}`).join("\n");
    const { ran, options } = await recover(["--recovery-key", "-", "--peer", "10.0.0.1:4001"], block);
    expect(ran.status).toBe(0);
    expect(options).toMatchObject({
      words: WORDS,
      peers: ["10.0.0.1:4001"],
      readOnly: false,
      name: "host-1",
      keepsName: true,
    });
    expect(ran.stdout).toContain("This machine is till-1 at site north now");
    expect(ran.stdout).toContain('until an administrator says "cairn admin confirm till-1"');
    expect(ran.stdout).toContain("4 of 5 answered, newest head 2 h 0 min old.");
    expect(ran.stdout).toContain("STATE counts only what the members that answered have.");
    expect(ran.stdout).toContain("no answer from till\\x1b[2J at south: no connection");
    expect(ran.stdout).toMatch(/eeeeeeeeeeee .* 9 +3 +chosen, certified\n *dddddddddddd .*fork/);
    expect(ran.stdout).toMatch(
      /aaaaaaaaaaaa .*pending +1 segment out of reach .*\/srv +from head bbbbbbbbbbbb/,
    );
    expect(ran.stderr).toBe("Warning: An older state has more.\n");
    await writeFile(join(folder, "key"), WORDS.join(" "));
    const fromFile = await recover(
      ["--recovery-key", join(folder, "key"), "--token", "cairn1-x", "--read-only"],
      "",
    );
    expect(fromFile.options).toMatchObject({ words: WORDS, token: "cairn1-x", readOnly: true });
  });

  it("a key with a word missing is a wrong key", async () => {
    const { ran, options } = await recover(
      ["--recovery-key", "-", "--peer", "a:1"],
      WORDS.slice(1).join(" "),
    );
    expect(ran.status).toBe(12);
    expect(options).toBeUndefined();
  });

  it("daemon runs until it is told to stop, and that is a success", async () => {
    let interrupt = (): void => {};
    const ran = await runCairn(["daemon", "--listen", "127.0.0.1:0", "--announce", "a.example:4001"], {
      interrupt: (given) => {
        interrupt = given;
      },
      local: {
        runDaemon: ({ signal, listen, announce, home }) =>
          new Promise((resolve) => {
            expect([listen, announce, home]).toEqual(["127.0.0.1:0", ["a.example:4001"], "/h"]);
            signal.addEventListener("abort", () => resolve());
            interrupt();
          }),
      },
    });
    expect(ran).toMatchObject({ status: 0, stdout: "", stderr: "" });
  });

  it("daemon hands on how much repair may send, as far as it is said", async () => {
    const said: unknown[] = [];
    const local = {
      runDaemon: async ({ repairRate }: { repairRate: unknown }) => void said.push(repairRate),
    };
    await runCairn(["daemon"], { local });
    await runCairn(["daemon", "--uplink", "2Mbit/s", "--night", "50%"], { local });
    expect(said).toEqual([{}, { uplink: "2Mbit/s", night: "50%" }]);
  });
});
