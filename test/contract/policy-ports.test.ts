import { chmod, chown, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createHookRunner, openPolicyFile } from "../../src/adapters/policy/index.ts";
import type { HookRequest } from "../../src/ports/index.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-policy-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("the policy file", () => {
  it("is absent, or as it was written, whole", async () => {
    const file = openPolicyFile(join(folder, "policy.yaml"));
    expect(await file.read()).toBeUndefined();
    await file.write("version: 1 # käse\n");
    await file.write("version: 1 # brot\n");
    expect(await file.read()).toBe("version: 1 # brot\n");
    expect((await stat(join(folder, "policy.yaml"))).mode & 0o777).toBe(0o600);
  });

  it("is not used where others may write it", async () => {
    const path = join(folder, "policy.yaml");
    await writeFile(path, "version: 1\n", { mode: 0o644 });
    expect(await openPolicyFile(path).read()).toBe("version: 1\n");
    for (const mode of [0o664, 0o646]) {
      await chmod(path, mode);
      await expect(openPolicyFile(path).read()).rejects.toMatchObject({ detail: { code: "NOT_ALLOWED" } });
    }
  });
});

it.skipIf(process.getuid?.() !== 0)("the policy file of another user is not used", async () => {
  const path = join(folder, "policy.yaml");
  await writeFile(path, "version: 1\n", { mode: 0o600 });
  await chown(path, 65_534, 65_534);
  await expect(openPolicyFile(path).read()).rejects.toMatchObject({ detail: { code: "NOT_ALLOWED" } });
});

describe("the hook runner", () => {
  const run = (argv: string[], more: Partial<HookRequest> = {}) =>
    createHookRunner().run({
      ...{ argv, timeLimitMs: 60_000, environment: {}, signal: new AbortController().signal },
      ...more,
    });

  it("runs a program with its arguments and environment, without a shell", async () => {
    const out = join(folder, "out");
    const script = 'printf "%s|%s|%s" "$1" "$CAIRN_SET" "$PWD" > "$2"';
    const environment = { CAIRN_SET: "shop" };
    expect(await run(["sh", "-c", script, "sh", "a b;*", out], { environment })).toEqual({ ok: true });
    expect(await readFile(out, "utf8")).toBe("a b;*|shop|/");
  });

  it.each([
    [["sh", "-c", "echo no >&2; exit 3"], "it exited with status 3", "no"],
    [["sh", "-c", "kill -KILL $$"], "it was ended by SIGKILL", ""],
    [["/nowhere/hook"], "it could not be started: spawn /nowhere/hook ENOENT", ""],
  ])("%j fails with its reason", async (argv, reason, said) => {
    expect(await run(argv)).toEqual({ ok: false, reason, said });
  });

  it("ends with everything it has started at its time limit or the signal, and keeps the end of what it said", async () => {
    const pidFile = join(folder, "pid");
    const script = `i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; sleep 1000 & echo $! > ${pidFile}; wait`;
    const end = await run(["sh", "-c", script], { timeLimitMs: 2000 });
    expect(end).toMatchObject({ ok: false, reason: "it took longer than 2000 ms" });
    expect(end.ok ? 0 : end.said.length).toBeLessThanOrEqual(4096);
    const pid = Number(await readFile(pidFile, "utf8"));
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);

    const stop = new AbortController();
    const stopped = run(["sleep", "1000"], { signal: stop.signal });
    await sleep(100);
    stop.abort();
    expect(await stopped).toMatchObject({ ok: false, reason: "the daemon was told to stop" });
  }, 60_000);
});

/** A zombie that nobody has waited for yet has ended. */
async function isAlive(pid: number): Promise<boolean> {
  try {
    return !/\) Z /.test(await readFile(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
