import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { multiaddr } from "@multiformats/multiaddr";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createGuest } from "../../src/adapters/libp2p/index.ts";
import { must } from "../../src/base/assert.ts";
import { parsePeerId } from "../../src/base/ids.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { encodeToken, guestSeed, parseToken } from "../../src/membership/token.ts";
import { cairn, errorOf } from "../support/cli.ts";
import { DaemonSwarm, type TestNode } from "../support/daemons.ts";

import { createRawLibp2p } from "../support/raw-libp2p.ts";

let swarm: DaemonSwarm;
let member: TestNode;
let homes = 0;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b"] });
  member = swarm.node(1);
});
afterAll(() => swarm?.dispose());

const newHome = (): string => join(swarm.directory, `newcomer-${homes++}`);

async function joinSwarm(token: string, home: string, ...more: string[]) {
  return cairn(["--home", home, "join", token, "--listen", "127.0.0.1:0", "--json", ...more]);
}

/** Refused with this status and code, and nothing is left that looks like a home. */
async function expectRefused(
  token: string,
  status: number,
  code: string | RegExp,
  ...more: string[]
): Promise<void> {
  const home = newHome();
  const error = errorOf(await joinSwarm(token, home, ...more));
  expect(error.status).toBe(status);
  expect(error.code).toMatch(code);
  expect((await cairn(["--home", home, "status"])).status).toBe(10);
}

const PROTOCOLS = ["hello", "data", "sync", "join", "recover"].map((name) => `/cairn/1/${name}`);
const LIBP2P_PROTOCOLS = ["/cairn/kad/1", "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"];

/** The protocols on which a daemon sends anything back to a node with this key. */
async function answeredTo(seed: Uint8Array): Promise<string[]> {
  const libp2p = await createRawLibp2p(seed);
  const answers = async (protocol: string): Promise<boolean> => {
    try {
      const connection = await libp2p.dial(multiaddr(member.address));
      const stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(2000) });
      const heard = Promise.withResolvers<boolean>();
      stream.addEventListener("message", () => heard.resolve(true));
      for (const end of ["close", "remoteCloseWrite"] as const)
        stream.addEventListener(end, () => heard.resolve(false));
      stream.send(new Uint8Array(protocol.includes("ping") ? 32 : 8));
      return await Promise.race([heard.promise, sleep(2000, false)]);
    } catch {
      return false;
    }
  };
  try {
    const answered: string[] = [];
    for (const protocol of [...PROTOCOLS, ...LIBP2P_PROTOCOLS])
      if (await answers(protocol)) answered.push(protocol);
    return answered;
  } finally {
    await libp2p.stop();
  }
}

it("a stranger can speak no protocol with a daemon, and a guest its own only", async () => {
  expect(await answeredTo(randomBytes(32))).toEqual([]);
  const token = parseToken(await swarm.node(0).invite("a"));
  await swarm.allAlive();
  await sleep(1000); // The delegation reaches the other member.
  expect(await answeredTo(guestSeed(token, 0))).toContain("/cairn/1/hello");

  const guest = await createGuest({ seed: randomBytes(32), log: SILENT_LOG });
  try {
    await expect(guest.dial(member.address)).rejects.toMatchObject({ code: "NOT_A_MEMBER" });
    const peer = must(parsePeerId(member.peerId), "peer id");
    const request = guest.network.request(
      peer,
      "data",
      { head: new Uint8Array(8), body: new Uint8Array(0) },
      { idleTimeoutMs: 2000 },
    );
    await expect(request).rejects.toMatchObject({ name: "Fault" });
  } finally {
    await guest.stop();
  }
});

it("refuses tokens that are forged, of another site, changed or cut off", async () => {
  const token = await swarm.node(0).invite("c");
  const content = parseToken(token);
  await expectRefused(encodeToken({ ...content, seed: randomBytes(32) }), 6, "NOT_A_MEMBER");
  await expectRefused(token, 6, "TOKEN_INVALID", "--site", "d");
  await expectRefused(`${token.slice(0, -3)}AAA`, 6, "TOKEN_INVALID");
  await expectRefused(token.slice(0, -9), 6, "TOKEN_INVALID");
  // The site is not the token's to say: the delegation names it, signed by an administrator.
  const home = newHome();
  const joined = await joinSwarm(encodeToken({ ...content, site: "d" }), home);
  expect(joined).toMatchObject({ status: 0, json: { site: "c" } });
});

it("refuses an expired token, whatever the newcomer's clock says", async () => {
  const token = await swarm.node(0).invite("c", "--expires", "1s");
  await sleep(1200);
  await expectRefused(token, 6, "TOKEN_EXPIRED");
  const later = encodeToken({ ...parseToken(token), expiresMs: Date.now() + 3_600_000 });
  await expectRefused(later, 6, /NOT_A_MEMBER|TOKEN_EXPIRED/);
});

it("lets a token be used as often as it says, and not once more", async () => {
  const token = await swarm.node(0).invite("c", "--uses", "2");
  for (let use = 0; use < 2; use++) expect((await joinSwarm(token, newHome(), "--site", "c")).status).toBe(0);
  await expectRefused(token, 6, "TOKEN_USED");
});

it("tells init, join, recover and daemon apart from a home in use, and everything else from none", async () => {
  const { home, pid } = swarm.node(0);
  const locked = errorOf(await cairn(["--home", home, "daemon", "--json"]));
  expect(locked).toMatchObject({ status: 1, code: "HOME_LOCKED", detail: { pid } });
  expect(locked.message).toContain(String(pid));
  expect(errorOf(await cairn(["--home", home, "init", "--site", "a", "--json"]))).toMatchObject({
    status: 1,
    code: "HOME_EXISTS",
  });
  const token = await swarm.node(0).invite("c");
  expect(errorOf(await joinSwarm(token, home))).toMatchObject({ status: 1, code: "HOME_EXISTS" });

  const nothing = newHome();
  for (const command of [["status"], ["snapshots"], ["snapshot", "/etc/hostname"], ["invite", "--site", "a"]])
    expect(errorOf(await cairn(["--home", nothing, ...command, "--json"]))).toMatchObject({
      status: 10,
      code: "HOME_MISSING",
    });
  expect(errorOf(await cairn(["--home", nothing, "daemon", "--json"]))).toMatchObject({ status: 10 });
  expect(existsSync(nothing)).toBe(false);

  await member.stop();
  for (const command of [
    ["status"],
    ["snapshots"],
    ["snapshot", "/etc/hostname"],
    ["restore", "latest", "--target", nothing],
  ])
    expect(errorOf(await member.cli(...command, "--json"))).toMatchObject({
      status: 5,
      code: "DAEMON_NOT_RUNNING",
    });
  await member.start();
});

it("a wrong recovery key opens nothing, and neither does half of one", async () => {
  const known = await cairn([
    "--home",
    newHome(),
    "init",
    "--site",
    "x",
    "--listen",
    "127.0.0.1:0",
    "--json",
  ]);
  const words = /"recoveryKey":"([a-z ]+)"/.exec(known.stdout)?.[1] ?? "";
  expect(words.split(" ")).toHaveLength(24);
  const recover = (input: string) =>
    cairn(["--home", newHome(), "recover", "--recovery-key", "-", "--peer", member.address, "--json"], {
      input,
    });
  for (const wrong of [
    words,
    words.split(" ").slice(1).join(" "),
    words.replace(/^\w+/, "cairn"),
    "",
    "\0\0",
  ])
    expect(errorOf(await recover(wrong))).toMatchObject({ status: 12, code: "WRONG_KEY" });
});

it("uses what nobody but its user may read or speak to", async () => {
  const { home } = member;
  const mode = (name: string) => statSync(join(home, name)).mode & 0o777;
  expect(mode(".")).toBe(0o700);
  expect(mode("control.sock")).toBe(0o600);
  for (const key of ["node.key", "owner.key", "recovery.slot"]) expect(mode(`keys/${key}`)).toBe(0o600);
  expect(statSync(member.keyFile).mode & 0o777).toBe(0o600);
});

it.runIf(process.getuid?.() === 0)("another user cannot use the control socket", async () => {
  const under = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
  const status = () => cairn(["--home", member.home, "status", "--json"], { under });
  expect((await status()).status).toBe(6);
  // Even where the way there is open, the socket itself is shut.
  for (const directory of [swarm.directory, member.home]) chmodSync(directory, 0o755);
  try {
    expect(errorOf(await status())).toMatchObject({ status: 6, code: "NOT_ALLOWED" });
    const script = `require("net").connect(process.argv[1]).on("error", (e) => console.log(e.code))`;
    const argv = [...under.slice(1), process.execPath, "-e", script, join(member.home, "control.sock")];
    expect(spawnSync("setpriv", argv, { encoding: "utf8" }).stdout).toBe("EACCES\n");
  } finally {
    for (const directory of [swarm.directory, member.home]) chmodSync(directory, 0o700);
  }
});
