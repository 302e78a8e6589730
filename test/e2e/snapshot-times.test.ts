import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { restoreResult, snapshotResult, snapshotsResult } from "../../src/control/results.ts";
import { errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";

let swarm: DaemonSwarm;
let owner: TestNode;
let folder: string;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  owner = swarm.node(0);
  folder = swarm.scratch("files");
});
afterAll(() => swarm?.dispose());

const listed = async (...args: string[]) =>
  resultOf(await owner.cli("snapshots", "--json", ...args), snapshotsResult.shape.snapshots);

async function saved(text: string, ...args: string[]): Promise<string> {
  writeFileSync(join(folder, "note"), text);
  const made = await owner.ask(snapshotResult, "snapshot", folder, ...args);
  expect(made.status).toBe(0);
  return made.time;
}

it("finds a snapshot by its time and its tags, in the time zone of whoever asks", async () => {
  const first = await saved("first", "--tag", "nightly", "--tag", "db");
  await sleep(1100);
  const second = await saved("second");
  expect((await listed("--tag", "nightly", "--tag", "db")).map(({ time }) => time)).toEqual([first]);

  const restored = async (...args: string[]): Promise<string> => {
    const target = swarm.newTarget();
    await owner.ask(restoreResult, "restore", `latest:${folder}`, ...args, "--target", target);
    return readFileSync(join(target, "note"), "utf8");
  };
  expect(await restored()).toBe("second");
  expect(await restored("--tag", "db")).toBe("first");
  // The next whole second, which is before the second snapshot.
  const at = new Date(Math.ceil(Date.parse(first) / 1000) * 1000);
  expect(at.getTime()).toBeLessThan(Date.parse(second));
  const typed = at.toISOString().slice(0, 19);
  expect(await restored("--at", `${typed}Z`)).toBe("first");

  // The same moment, typed by somebody in Tokyo.
  const tokyo = new Date(at.getTime() + 9 * 3_600_000).toISOString().slice(0, 19).replace("T", " ");
  const cat = await owner.cliWith(
    { environment: { TZ: "Asia/Tokyo" } },
    "cat",
    `latest:${folder}/note`,
    "--at",
    tokyo,
  );
  expect(cat).toMatchObject({ status: 0, stdout: "first" });
  expect(cat.stderr).toContain("(Asia/Tokyo)");

  // The same by machine and path; below a path that was saved, too.
  const { host } = must((await listed())[0], "a snapshot");
  const target = swarm.newTarget();
  const source = ["--source", `${host}:${folder}`];
  await owner.ask(restoreResult, "restore", ...source, "--at", `${typed}Z`, "--target", target);
  expect(readFileSync(join(target, "note"), "utf8")).toBe("first");
  expect((await owner.cli("ls", ...source)).stdout).toContain("note");
  expect(await listed("--source", host)).toHaveLength(2);
  expect(await listed("--source", `${host}:/nowhere`)).toHaveLength(0);
  const elsewhere = await owner.cli("restore", "--source", `no-${host}:${folder}`, "--target", target);
  expect(elsewhere.status).toBe(1);
  expect(elsewhere.stderr).toContain(`there are some of ${host}.`);

  const none = await owner.cli("ls", "--at", "2020-01-01", "--json");
  expect(errorOf(none)).toMatchObject({ status: 1, code: "SNAPSHOT_UNKNOWN" });
  expect(none.stderr).toContain("the oldest is of");
});

it("saves what a command writes, and nothing of one that fails or is interrupted", async () => {
  const before = (await listed()).length;
  const dump = "i=0; while [ $i -lt 200000 ]; do echo row $i; i=$((i+1)); done";
  const command = (script: string) => [
    "--stdin-from-command",
    "--stdin-filename",
    "/db/shop.sql",
    "--",
    "sh",
    "-c",
    script,
  ];
  const failed = await owner.cli("snapshot", "--json", ...command(`${dump}; echo deadlock >&2; exit 4`));
  expect(errorOf(failed)).toMatchObject({
    status: 1,
    code: "COMMAND_FAILED",
    detail: { reason: "it exited with status 4", stderr: "deadlock" },
  });
  const begun = join(swarm.scratch("command"), "begun");
  const running = owner.startCli("snapshot", "--json", ...command(`${dump}; touch ${begun}; sleep 1000`));
  await eventually("the command runs", () => existsSync(begun), { withinMs: 120_000 });
  running.kill("SIGINT");
  expect((await running.done).status).toBe(130);
  expect(await listed()).toHaveLength(before);

  const made = resultOf(await owner.cli("snapshot", "--json", ...command(dump)), snapshotResult);
  expect(made).toMatchObject({ files: 1, state: "full" });
  const cat = await owner.cli("cat", `${made.snapshotId}:/db/shop.sql`);
  expect(cat.stdout.split("\n")).toHaveLength(200_001);
  expect(must(cat.stdout.split("\n")[199_999], "last row")).toBe("row 199999");
});
