import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { restoreResult, snapshotResult, snapshotsResult } from "../../src/control/results.ts";
import { errorOf, LAUNCHER, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { reap } from "../support/reaper.ts";

// The recipes of docs/operating.md, "Databases", as they stand there, on the programs themselves.

const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;
const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

for (const [program, recipe] of [
  ["sqlite3", "SQLite"],
  ["initdb", "PostgreSQL"],
  ["mariadbd", "MariaDB"],
] as const)
  if (!has(program)) console.warn(`The recipe for ${recipe} is NOT tested: there is no ${program} here.`);

let swarm: DaemonSwarm;
let owner: TestNode;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  owner = swarm.node(0);
});
afterAll(() => swarm?.dispose());

const count = async (): Promise<number> =>
  resultOf(await owner.cli("snapshots", "--json"), snapshotsResult.shape.snapshots).length;

describe.skipIf(!has("sqlite3"))("SQLite", () => {
  const policyFor = (folder: string) => `version: 1
sets:
  shop:
    paths: [${folder}]
    exclude: ["shop.db", "shop.db-*"]
    hooks:
      before: [sh, -c, 'cd ${folder} && rm -f shop.saved.db && sqlite3 -cmd ".timeout 60000" shop.db "VACUUM INTO ''shop.saved.db''"']
`;

  it("is saved while it is written to, and comes back whole; a damaged one is no snapshot", async () => {
    const folder = swarm.scratch("sqlite");
    const db = join(folder, "shop.db");
    run("sqlite3", db, "PRAGMA journal_mode=WAL; CREATE TABLE sales(n INTEGER PRIMARY KEY, twice INTEGER);");
    const writing = spawn("sh", [
      "-c",
      `i=0; while [ $i -lt 100000 ]; do sqlite3 -cmd '.timeout 5000' '${db}' "BEGIN; INSERT INTO sales(twice) SELECT 2*(1+coalesce(max(n),0)) FROM sales; COMMIT"; i=$((i+1)); done`,
    ]);
    reap(writing);
    await eventually(
      "some sales",
      () => Number(run("sqlite3", "-cmd", ".timeout 5000", db, "SELECT count(*) FROM sales")) > 20,
    );
    const file = join(swarm.scratch("policy"), "policy.yaml");
    writeFileSync(file, policyFor(folder));
    expect((await owner.cli("policy", "set", file)).status).toBe(0);
    const made = await owner.ask(snapshotResult, "snapshot", "--set", "shop");
    writing.kill("SIGKILL");
    expect(made).toMatchObject({ status: 0, files: 1 });

    const target = swarm.newTarget();
    await owner.ask(restoreResult, "restore", `latest:${folder}`, "--target", target);
    const restored = join(target, "shop.saved.db");
    expect(run("sqlite3", restored, "PRAGMA integrity_check").trim()).toBe("ok");
    const [rows, wrong] = run("sqlite3", restored, "SELECT count(*), sum(twice != 2*n) FROM sales")
      .trim()
      .split("|");
    expect(Number(rows)).toBeGreaterThan(20);
    expect(wrong).toBe("0");

    const before = await count();
    writeFileSync(db, Buffer.alloc(64 * 1024, 7));
    const failed = errorOf(await owner.cli("snapshot", "--set", "shop", "--json"));
    expect(failed).toMatchObject({ status: 1, code: "COMMAND_FAILED" });
    expect(await count()).toBe(before);
  });
});

describe.skipIf(!has("initdb") || process.getuid?.() !== 0)("PostgreSQL", () => {
  const AS_NOBODY = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
  let server: ChildProcess | undefined;
  afterEach(() => void server?.kill("SIGINT"));

  it("is saved by pg_dump without a file in between, and comes back; a server that is away is no snapshot", async () => {
    const home = swarm.scratch("pg");
    chmodSync(swarm.directory, 0o755);
    chownSync(home, 65_534, 65_534);
    const data = join(home, "data");
    run("setpriv", ...AS_NOBODY, "initdb", "-D", data, "-U", "shop", "-A", "trust", "-E", "UTF8");
    server = spawn("setpriv", [...AS_NOBODY, "postgres", "-D", data, "-k", home, "-c", "listen_addresses="]);
    reap(server);
    const psql = (base: string, ...args: string[]) =>
      run("psql", "-h", home, "-U", "shop", "-At", base, ...args);
    await eventually(
      "PostgreSQL",
      () => existsSync(join(home, ".s.PGSQL.5432")) && psql("postgres", "-c", "SELECT 1") === "1\n",
    );
    psql("postgres", "-c", "CREATE DATABASE shop");
    psql(
      "shop",
      "-c",
      "CREATE TABLE sales AS SELECT n, md5(n::text) AS what FROM generate_series(1, 50000) n",
    );
    const sum = "SELECT count(*), md5(string_agg(what, '' ORDER BY n)) FROM sales";

    const name = ["--stdin-filename", "shop.pgdump"];
    const dump = (at: string) => [
      "--",
      "pg_dump",
      "-h",
      at,
      "-U",
      "shop",
      "--format=custom",
      "--compress=0",
      "shop",
    ];
    const made = await owner.cli("snapshot", "--stdin-from-command", ...name, "--json", ...dump(home));
    expect(made.status).toBe(0);
    expect(resultOf(made, snapshotResult)).toMatchObject({ files: 1 });

    psql("postgres", "-c", "CREATE DATABASE back");
    const restore = `cairn --home '${owner.home}' cat latest:/shop.pgdump --path /shop.pgdump | pg_restore -h '${home}' -U shop -d back --exit-on-error`;
    execFileSync("bash", ["-c", `set -o pipefail; cairn() { '${LAUNCHER}' "$@"; }; ${restore}`]);
    expect(psql("back", "-c", sum)).toBe(psql("shop", "-c", sum));

    const before = await count();
    const away = await owner.cli("snapshot", "--stdin-from-command", ...name, "--json", ...dump("/nowhere"));
    expect(errorOf(away)).toMatchObject({ status: 1, code: "COMMAND_FAILED" });
    expect(away.stderr).toContain("pg_dump: error:");
    expect(await count()).toBe(before);
  });
});

describe.skipIf(!has("mariadbd") || process.getuid?.() !== 0)("MariaDB", () => {
  const AS_NOBODY = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
  const TRANSFER = "UPDATE one SET euros = euros - 1; UPDATE two SET euros = euros + 1";
  let server: ChildProcess | undefined;
  afterEach(() => void server?.kill("SIGKILL"));

  it("is saved by mariadb-dump at one moment while it is written to, and comes back; a server that is away is no snapshot", async () => {
    const home = swarm.scratch("mariadb");
    chmodSync(swarm.directory, 0o755);
    chownSync(home, 65_534, 65_534);
    const data = join(home, "data");
    const socket = join(home, "socket");
    run(
      "setpriv",
      ...AS_NOBODY,
      "mariadb-install-db",
      "--no-defaults",
      `--datadir=${data}`,
      "--auth-root-authentication-method=normal",
      "--skip-test-db",
    );
    const options = ["--no-defaults", `--datadir=${data}`, `--socket=${socket}`, "--skip-networking"];
    server = spawn("setpriv", [...AS_NOBODY, "mariadbd", ...options], { stdio: "ignore" });
    reap(server);
    const sql = (base: string, text: string): string =>
      run("mariadb", "--no-defaults", `--socket=${socket}`, "-u", "root", "-N", "-B", base, "-e", text);
    const answers = (): boolean => {
      try {
        return existsSync(socket) && sql("mysql", "SELECT 1") === "1\n";
      } catch {
        return false;
      }
    };
    await eventually("MariaDB", answers, { withinMs: 120_000 });
    sql("mysql", "CREATE DATABASE shop; CREATE DATABASE back");
    sql(
      "shop",
      "CREATE TABLE one(euros INT) ENGINE=InnoDB; CREATE TABLE two(euros INT) ENGINE=InnoDB;" +
        "INSERT INTO one VALUES (1000000); INSERT INTO two VALUES (0);" +
        "CREATE TABLE sales ENGINE=InnoDB AS SELECT seq AS n, UNHEX(MD5(seq)) AS what FROM seq_1_to_50000;" +
        "CREATE PROCEDURE hello() SELECT 'hello'",
    );
    // Money goes from one table to the other all the time: only what is of one moment adds up.
    const client = `mariadb --no-defaults --socket='${socket}' -u root shop`;
    const writing = spawn("sh", ["-c", `yes 'BEGIN; ${TRANSFER}; COMMIT;' | ${client}`], { detached: true });
    reap(writing);
    await eventually("some transfers", () => Number(sql("shop", "SELECT euros FROM two")) > 50);

    const name = ["--stdin-filename", "shop.sql"];
    const how = ["--single-transaction", "--routines", "--events", "--hex-blob", "--skip-dump-date"];
    const dump = (at: string) => [
      "--",
      ...["mariadb-dump", "--no-defaults", `--socket=${at}`, "-u", "root", ...how, "shop"],
    ];
    const made = await owner.cli("snapshot", "--stdin-from-command", ...name, "--json", ...dump(socket));
    process.kill(-must(writing.pid, "a process"), "SIGKILL");
    expect(made.status).toBe(0);
    expect(resultOf(made, snapshotResult)).toMatchObject({ files: 1 });

    const restore = `cairn --home '${owner.home}' cat latest:/shop.sql --path /shop.sql | mariadb --no-defaults --socket='${socket}' -u root back`;
    execFileSync("bash", ["-c", `set -o pipefail; cairn() { '${LAUNCHER}' "$@"; }; ${restore}`]);
    expect(sql("back", "SELECT (SELECT euros FROM one) + (SELECT euros FROM two)")).toBe("1000000\n");
    expect(Number(sql("back", "SELECT euros FROM two"))).toBeGreaterThan(50);
    const sum = "SELECT COUNT(*), MD5(GROUP_CONCAT(HEX(what) ORDER BY n)) FROM sales";
    const whole = "SET group_concat_max_len = 1 << 24;";
    expect(sql("back", `${whole} ${sum}`)).toBe(sql("shop", `${whole} ${sum}`));
    expect(sql("back", "CALL hello()")).toBe("hello\n");

    const before = await count();
    const away = await owner.cli("snapshot", "--stdin-from-command", ...name, "--json", ...dump("/nowhere"));
    expect(errorOf(away)).toMatchObject({ status: 1, code: "COMMAND_FAILED" });
    expect(away.stderr).toContain("mariadb-dump: Got error: 2002");
    expect(await count()).toBe(before);
  }, 300_000);
});
