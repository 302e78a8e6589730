import { type ChildProcess, spawn } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Fault } from "../../src/base/fault.ts";
import { HOME_MARKER, HOME_MARKER_NAME } from "../../src/base/home-marker.ts";
import { bytePathOf } from "../../src/base/paths.ts";
import type { ControlHandlers, SnapshotRequest } from "../../src/control/api.ts";
import { type ControlServer, serveControl } from "../../src/control/server.ts";
import { entry, fakeHandlers, SNAPSHOT_ID, snapshotResult, TIME } from "../support/fake-handlers.ts";

const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));
const LAUNCHER = join(CHECKOUT, "bin/cairn");
/** What a machine in the field has: the system's tools, and no new Node among them. */
const PATH = "/usr/bin:/bin";

let folder: string;
let home: string;
let server: ControlServer | undefined;

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "cairn launcher-")));
  home = join(folder, "home");
  await mkdir(home, { mode: 0o700 });
  await writeFile(join(home, HOME_MARKER_NAME), HOME_MARKER);
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(folder, { recursive: true, force: true });
});

async function serve(handlers: Partial<ControlHandlers>): Promise<void> {
  server = await serveControl(fakeHandlers(handlers), { home });
}

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(
  program: string,
  argv: readonly string[],
  path = PATH,
): { child: ChildProcess; ran: Promise<Ran> } {
  const environment = { PATH: path, CAIRN_HOME: home, HOME: folder };
  const child = spawn(program, argv, { env: environment, stdio: ["pipe", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += String(chunk)));
  child.stderr.on("data", (chunk) => (stderr += String(chunk)));
  const ran = new Promise<Ran>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout, stderr }));
  });
  return { child, ran };
}

const run = (program: string, argv: readonly string[], path = PATH) => start(program, argv, path).ran;

/** A checkout of the launcher alone, in a folder with a space in its name, with a Node of our choice on the PATH. */
async function checkoutWithNode(script: string | undefined): Promise<{ launcher: string; path: string }> {
  const root = join(folder, "a checkout");
  await mkdir(join(root, "bin"), { recursive: true });
  await copyFile(LAUNCHER, join(root, "bin/cairn"));
  const tools = join(folder, "tools");
  await mkdir(tools);
  for (const tool of ["sh", "readlink"]) await symlink(`/usr/bin/${tool}`, join(tools, tool));
  if (script !== undefined) {
    await writeFile(join(tools, "node"), `#!/bin/sh\n${script}\n`);
    await chmod(join(tools, "node"), 0o755);
  }
  return { launcher: join(root, "bin/cairn"), path: tools };
}

describe("the launcher", () => {
  it("uses the Node of the checkout, from a folder with a space in its name and through links", async () => {
    const root = join(folder, "a checkout");
    await mkdir(join(root, "bin"), { recursive: true });
    await copyFile(LAUNCHER, join(root, "bin/cairn"));
    for (const name of ["node_modules", "src", "package.json"])
      await symlink(join(CHECKOUT, name), join(root, name));
    await mkdir(join(folder, "local"));
    await symlink("../a checkout/bin/cairn", join(folder, "local/first"));
    await symlink(join(folder, "local/first"), join(folder, "local/second"));
    for (const way of ["a checkout/bin/cairn", "local/first", "local/second"])
      expect(await run(join(folder, way), ["--version"])).toEqual({
        status: 0,
        stdout: "0.1.0\n",
        stderr: "",
      });
    expect(await run("second", ["--version"], `${join(folder, "local")}:${PATH}`)).toMatchObject({
      status: 0,
    });
  });

  it.each([
    [
      "an old one",
      `echo v20.20.2`,
      /newer is needed, and the one here is v20\.20\.2\.\nRun "npm install" in .*a checkout/,
    ],
    ["one that does not start", `exit 127`, /newer is needed\.\nRun "npm install"/],
    ["none", undefined, /newer is needed\.\nRun "npm install"/],
  ])("says what is missing where the only Node is %s", async (_what, script, expected) => {
    const { launcher, path } = await checkoutWithNode(script);
    const ran = await run(launcher, ["status"], path);
    expect(ran).toMatchObject({ status: 1, stdout: "" });
    expect(ran.stderr).toMatch(expected);
  });

  it("takes a new enough Node from the PATH, with every argument as it is", async () => {
    const { launcher, path } = await checkoutWithNode(
      `[ "$1" = --version ] && { echo v26.1.0; exit; }\nprintf '<%s>' "$@"; exit 42`,
    );
    const ran = await run(launcher, ["a b", "", "*", "--version"], path);
    expect(ran).toMatchObject({ status: 42, stderr: "" });
    // Options for Node itself come first, then the program and its arguments.
    const program = join(folder, "a checkout/src/cli/main.ts");
    const [before, after] = ran.stdout.split(`<${program}>`);
    expect(after).toBe("<a b><><*><--version>");
    const options = [...(before ?? "").matchAll(/<([^<>]*)>/g)].map(([, option]) => option ?? "");
    expect(options.map((option) => `<${option}>`).join("")).toBe(before);
    expect(options).toContainEqual(expect.stringMatching(/^--max-semi-space-size=\d+$/));
    // Each is one that the Node of the checkout takes, and that it does not take for the program's name.
    expect(await run(process.execPath, [...options, "--eval", "console.log(process.argv.length)"])).toEqual({
      status: 0,
      stdout: "1\n",
      stderr: "",
    });
  });
});

describe("the command line through the launcher", () => {
  it("takes arguments as bytes", async () => {
    let asked: SnapshotRequest | undefined;
    await serve({
      snapshot: async (request) => {
        asked = request;
        return snapshotResult();
      },
    });
    // A child process of Node cannot be given such an argument; a shell can.
    const script = `exec '${LAUNCHER}' snapshot "$(printf '/caf\\351')" /café --exclude "$(printf '*\\377')"`;
    expect(await run("/bin/sh", ["-c", script])).toMatchObject({ status: 0, stderr: "" });
    expect(asked?.paths).toEqual(["/caf\xe9", bytePathOf("/café")]);
    expect(asked?.excludes).toEqual(["*\xff"]);
  });

  it("gives stdin to the daemon and comes back with its status", async () => {
    await serve({
      async snapshotStdin(_request, _context, body) {
        let bytesRead = 0;
        for await (const chunk of body) bytesRead += chunk.length;
        return snapshotResult({ bytesRead, state: "pending" });
      },
    });
    const { child, ran } = start(LAUNCHER, ["snapshot", "--stdin", "--json"]);
    child.stdin?.end(Buffer.alloc(1_000_000));
    const { status, stdout } = await ran;
    expect(status).toBe(4);
    expect(JSON.parse(stdout)).toMatchObject({ type: "summary", bytesRead: 1_000_000 });
  });

  it("says why the daemon gave up in the middle of stdin, every time", async () => {
    await serve({
      async snapshotStdin(_request, _context, body) {
        for await (const chunk of body) if (chunk.length > 0) break;
        throw new Fault({ code: "DISK_FULL", where: "/spool" });
      },
    });
    const script = `exec '${LAUNCHER}' snapshot --stdin </dev/zero`;
    const runs = await Promise.all(Array.from({ length: 8 }, () => run("/bin/sh", ["-c", script])));
    for (const ran of runs) {
      expect(ran).toMatchObject({ status: 1, stdout: "" });
      expect(ran.stderr).toContain("No room left in /spool");
    }
  });

  it.each(["SIGINT", "SIGTERM"] as const)("%s cancels in the daemon and exits with 130", async (signal) => {
    const begun = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    await serve({
      verify: (_request, context) =>
        new Promise((_resolve, reject) => {
          context.signal.addEventListener("abort", () => {
            aborted.resolve();
            reject(context.signal.reason);
          });
          begun.resolve();
        }),
    });
    const { child, ran } = start(LAUNCHER, ["verify"]);
    await begun.promise;
    child.kill(signal);
    await aborted.promise;
    expect((await ran).status).toBe(130);
  });

  it("writes all of a long list before it ends, and stops when its reader does", async () => {
    const count = 50_000;
    let listed = 0;
    await serve({
      async *ls() {
        for (; listed < count; listed++) yield entry(`/srv/${listed}`);
        return { snapshotId: SNAPSHOT_ID, time: TIME, entries: count, bytes: 0 };
      },
    });
    const all = await run(LAUNCHER, ["ls", "latest"]);
    expect(all.status).toBe(0);
    expect(all.stdout.split("\n").length).toBe(count + 1);
    listed = 0;
    const head = await run("/bin/sh", ["-c", `'${LAUNCHER}' ls latest | head -n 1`]);
    expect(head).toEqual({ status: 0, stdout: "/srv/0\n", stderr: "" });
  });

  it("exits with 5 without a daemon and with 10 without a home", async () => {
    expect((await run(LAUNCHER, ["status"])).status).toBe(5);
    const ran = await run(LAUNCHER, ["status", "--home", join(folder, "nothing"), "--json"]);
    expect(ran.status).toBe(10);
    expect(JSON.parse(ran.stdout)).toMatchObject({ error: { code: "HOME_MISSING" } });
  });
});
