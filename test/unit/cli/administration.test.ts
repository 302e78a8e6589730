import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { Fault } from "../../../src/base/fault.ts";
import type { ExportKeyOptions, ImportKeyOptions } from "../../../src/cli/local-operations.ts";
import type {
  PendingDecisionInfo,
  ProposalInfo,
  RemoveRequest,
  SiteMoveRequest,
  VoteRequest,
} from "../../../src/control/api.ts";
import { decisionResult, statusResult, TIME } from "../../support/fake-handlers.ts";
import { type RunOptions, runCairn } from "../../support/fake-world.ts";

const pending: PendingDecisionInfo = {
  id: "ab".repeat(32),
  kind: "removal",
  peerId: "12D3Koo",
  name: "till-3",
  announcedAt: TIME,
  effectiveAt: "2026-11-22T03:04:05.000Z",
  signatures: 1,
  reason: "burnt down",
  barsOwner: false,
};

describe("remove", () => {
  it("says when it takes effect and how it does sooner", async () => {
    let asked: RemoveRequest | undefined;
    const handlers = {
      remove: async (request: RemoveRequest) => {
        asked = request;
        return decisionResult({ inEffect: false, pending });
      },
    };
    const argv = ["remove", "till-3", "--reason", "burnt down", "--bar"];
    const ran = await runCairn(argv, { handlers });
    expect(asked).toEqual({ peer: "till-3", reason: "burnt down", barsOwner: true, cancel: false });
    expect(ran).toMatchObject({ status: 0, stderr: "" });
    expect(ran.stdout).toBe(
      'Announced: removal of till-3 ("burnt down"), in effect from 2026-11-22 03:04:05 UTC, signed by ' +
        "1 administrator; a second administrator's word puts it into effect at once.\n",
    );
    const json = JSON.parse((await runCairn([...argv, "--json"], { handlers })).stdout);
    expect(json).toMatchObject({ outcome: "announced", inEffect: false, pending: { signatures: 1 } });
  });

  it("says that it is in effect, or what was taken back", async () => {
    const confirmed = { remove: async () => decisionResult({ outcome: "confirmed" }) };
    expect((await runCairn(["remove", "till-3"], { handlers: confirmed })).stdout).toBe(
      "Confirmed and in effect: till-3 is no member any more.\n",
    );
    const cancelled = {
      remove: async () => decisionResult({ outcome: "cancelled", withdrawn: [pending], inEffect: false }),
    };
    expect((await runCairn(["remove", "till-3", "--cancel"], { handlers: cancelled })).stdout).toBe(
      'Cancelled: removal of till-3 ("burnt down").\n',
    );
  });

  it("exits with 6 without an administrator's key, and with 2 for what makes no sense", async () => {
    const remove = async (): Promise<never> => {
      throw new Fault({ code: "NOT_ALLOWED", reason: "this node has no administrator's key" });
    };
    expect((await runCairn(["remove", "till-3"], { handlers: { remove } })).status).toBe(6);
    for (const argv of [
      ["remove"],
      ["remove", "a", "--cancel", "--bar"],
      ["remove", "a", "--reason", "x".repeat(201)],
      ["site", "move", "a"],
      ["site", "move", "a", "b", "--cancel"],
      ["admin", "confirm"],
      ["site"],
    ]) {
      const ran = await runCairn(argv);
      expect({ argv, status: ran.status, home: ran.home }).toEqual({ argv, status: 2, home: undefined });
    }
  });
});

describe("site move", () => {
  it("asks for it, and shows no control characters of others' names", async () => {
    let asked: SiteMoveRequest | undefined;
    const move = { ...pending, kind: "site-move" as const, name: "ti\u001bll", from: "a", to: "b" };
    const handlers = {
      siteMove: async (request: SiteMoveRequest) => {
        asked = request;
        return decisionResult({ inEffect: false, pending: move });
      },
    };
    const ran = await runCairn(["site", "move", "till-3", "b"], { handlers });
    expect(asked).toEqual({ peer: "till-3", site: "b", cancel: false });
    expect(ran.stdout).toContain("move of ti\\x1bll from site a to b");
  });
});

describe("what waits", () => {
  it("is in status and peers", async () => {
    const swarm = { ...statusResult().swarm, pending: [pending] };
    const status = await runCairn(["status"], { handlers: { status: async () => statusResult({ swarm }) } });
    expect(status.stdout).toContain("waiting: removal of till-3");
    const peer = {
      peerId: "12D3Koo",
      name: "till-3",
      site: "leipzig",
      state: "alive" as const,
      holder: false,
      awaitsConfirmation: true,
      pending: [pending],
      addresses: [],
    };
    const peers = await runCairn(["peers"], { handlers: { peers: async () => ({ peers: [peer] }) } });
    expect(peers.stdout).toContain("to be confirmed");
    expect(peers.stdout).toContain("removal of till-3");
  });
});

describe("admin", () => {
  it("lists who may sign, and says what a change did", async () => {
    const list = await runCairn(["admin", "list"]);
    expect(list.stdout).toMatch(
      /NAME +SITE +HERE +SINCE \(UTC\) +KEY\ntill-3 .* (ab){32}\n1 of 1 administrator must/,
    );
    expect(JSON.parse((await runCairn(["admin", "list", "--json"])).stdout)).toMatchObject({ threshold: 1 });
    expect((await runCairn(["admin", "add", "till-3"])).stdout).toContain("There are 2 administrators now.");
    expect((await runCairn(["admin", "remove", "till-3"])).stdout).toContain("There is 1 administrator now.");
  });

  it("lists a change that was made at the same time as another, and what to do", async () => {
    const [key, other] = ["ab".repeat(32), "cd".repeat(32)];
    const fork = {
      number: 3,
      seenAt: TIME,
      administrators: [other],
      threshold: 1,
      signedBy: [key],
      apart: true,
    };
    const adminList = async () => ({ administrators: [], threshold: 1, number: 3, forks: [fork] });
    const { stdout } = await runCairn(["admin", "list"], { handlers: { adminList } });
    expect(stdout).toContain(
      "change 3 (seen 2026-11-21 03:04:05 UTC) to 1 of cdcdcdcdcdcd, signed by abababababab",
    );
    expect(stdout).toContain('"cairn recover" into a new home');
  });

  it("proposes, shows what waits, and takes a vote", async () => {
    const proposal: ProposalInfo = {
      id: "4f".repeat(32),
      kind: "removal",
      text: 'remove ti\u001bll-3 (leipzig) from the swarm ("x\nSigned, and decided")',
      state: "open",
      signedBy: [{ key: "ab".repeat(32), name: "till-1" }],
      refusedBy: [{ key: "cd".repeat(32) }],
      missing: 1,
      signedHere: true,
      proposedAt: TIME,
      expiresAt: "2026-11-28T03:04:05.000Z",
    };
    const asked: VoteRequest[] = [];
    const handlers = {
      remove: async () => decisionResult({ outcome: "proposed", inEffect: false, proposal }),
      adminThreshold: async () => ({ threshold: 1, administrators: 3, proposal }),
      adminPending: async () => ({
        proposals: [proposal],
        decisions: [pending],
        threshold: 2,
        administrators: 3,
      }),
      adminVote: async (request: VoteRequest) => {
        asked.push(request);
        const state = request.vote === "sign" ? ("done" as const) : ("open" as const);
        const inEffect = request.vote === "sign";
        return { ...request, known: false, inEffect, proposal: { ...proposal, state } };
      },
    };
    const waits =
      'Proposed, and not in effect: remove ti\\x1bll-3 (leipzig) from the swarm ("x\\nSigned, and decided").\n1 more administrator has to sign it by ' +
      '2026-11-28 03:04:05 UTC: "cairn admin sign 4f4f4f4f4f4f" on a node of theirs.\n';
    expect((await runCairn(["remove", "till-3"], { handlers })).stdout).toBe(waits);
    expect((await runCairn(["admin", "threshold", "2"], { handlers })).stdout).toBe(waits);
    const listed = await runCairn(["admin", "pending"], { handlers });
    expect(listed.stdout).toContain(
      '  4f4f4f4f4f4f  remove ti\\x1bll-3 (leipzig) from the swarm ("x\\nSigned, and decided"); signed by till-1, refused by key cdcdcdcdcdcd, ' +
        "1 more must sign, until 2026-11-28 03:04:05 UTC\n",
    );
    expect(listed.stdout).toContain("abababababab  removal of till-3");
    expect((await runCairn(["admin", "sign", "4f4f"], { handlers })).stdout).toContain("Signed, and decided");
    expect((await runCairn(["admin", "refuse", "4F"], { handlers })).stdout).toContain("Refused: remove");
    expect((await runCairn(["admin", "withdraw", "4f"], { handlers })).stdout).toContain("Withdrawn: remove");
    expect(asked.map(({ vote }) => vote)).toEqual(["sign", "refuse", "withdraw"]);
    expect((await runCairn(["admin", "sign", "what"], { handlers })).status).toBe(2);
  });

  it("prints a token that lets nobody in yet, and says so beside it", async () => {
    const proposal: ProposalInfo = {
      id: "4f".repeat(32),
      kind: "invitation",
      text: "let 1 new node in",
      state: "open",
      signedBy: [],
      refusedBy: [],
      missing: 1,
      signedHere: true,
      proposedAt: TIME,
      expiresAt: TIME,
    };
    const invite = async () => ({ token: "cairn1-abc", site: "a", uses: 1, expiresAt: TIME, proposal });
    const ran = await runCairn(["invite", "--site", "a"], { handlers: { invite } });
    expect(ran.stdout).toBe("cairn1-abc\n");
    expect(ran.stderr).toContain("The token lets nobody in yet. Proposed");
  });

  it("says from how many on a decision counts", async () => {
    expect((await runCairn(["admin", "threshold", "2"])).stdout).toBe(
      "2 of 3 administrators must sign from now on.\n",
    );
    expect((await runCairn(["admin", "threshold", "3"])).stdout).toContain("None of their keys may be lost");
    expect((await runCairn(["admin", "threshold", "0"])).status).toBe(2);
  });

  it("changes a quota", async () => {
    const ran = await runCairn(["quota", "till-3", "2TiB"]);
    expect(ran).toMatchObject({
      status: 0,
      stdout: "till-3: 2.00 TiB at others, from now on. What is stored stays.\n",
    });
    expect((await runCairn(["quota", "till-3", "none"])).stdout).toContain("no bound, from now on");
    expect((await runCairn(["quota", "till-3", "much"])).status).toBe(2);
  });

  it("says that the key of a node that is removed still counts", async () => {
    const remove = async () => decisionResult({ administratorKey: "ef".repeat(32) });
    const ran = await runCairn(["remove", "till-3"], { handlers: { remove } });
    expect(ran.stdout).toContain('"cairn admin remove efefefefefef" ends that');
  });

  it("exports with a passphrase from a file, into a new file of this user only, and imports", async () => {
    const folder = await mkdtemp(join(tmpdir(), "cairn-admin-"));
    const [secret, out] = [join(folder, "passphrase"), join(folder, "key")];
    await writeFile(secret, "a b c\nmore\n");
    const exported: ExportKeyOptions[] = [];
    const imported: ImportKeyOptions[] = [];
    const local: RunOptions["local"] = {
      exportAdministratorKey: async (options) => {
        exported.push(options);
        return "cairn-administrator1-x";
      },
      importAdministratorKey: async (options) => {
        imported.push(options);
        return { key: options.text.trim() };
      },
    };
    const argv = ["admin", "export", "--passphrase-file", secret];
    expect((await runCairn(argv, { local })).stdout).toBe("cairn-administrator1-x\n");
    expect((await runCairn([...argv, "--out", out], { local })).status).toBe(0);
    expect(exported[1]).toEqual({ home: "/h", key: "ab".repeat(32), passphrase: "a b c" });
    expect((await stat(out)).mode & 0o777).toBe(0o600);
    expect((await runCairn([...argv, "--out", out], { local })).status).toBe(2);
    expect((await runCairn(["admin", "import", out, "--passphrase-file", secret], { local })).status).toBe(0);
    expect(imported).toEqual([{ home: "/h", text: "cairn-administrator1-x\n", passphrase: "a b c" }]);
    expect((await runCairn(["admin", "export"], { local })).stderr).toContain("--passphrase-file");
    const nobody = {
      adminKey: async (): Promise<never> => {
        throw new Fault({ code: "NOT_ALLOWED", reason: "this node has no administrator's key" });
      },
    };
    expect((await runCairn(argv, { local, handlers: nobody })).status).toBe(6);
    await rm(folder, { recursive: true });
  });

  it("asks for a passphrase on a terminal without showing it, twice", async () => {
    const typed = async (keys: string): Promise<{ status: number; passphrase?: string }> => {
      let passphrase: string | undefined;
      const stdin = new PassThrough();
      for (const key of keys) stdin.write(key);
      const local: RunOptions["local"] = {
        exportAdministratorKey: async (options) => {
          passphrase = options.passphrase;
          return "x";
        },
      };
      const world = { stdin: Object.assign(stdin, { isTTY: true }) };
      const ran = await runCairn(["admin", "export"], { local, world });
      expect(ran.stdout + ran.stderr).not.toContain("abc");
      return { status: ran.status, ...(passphrase === undefined ? {} : { passphrase }) };
    };
    expect(await typed("abcd\u007f\rabc\r")).toEqual({ status: 0, passphrase: "abc" });
    expect((await typed("abc\rabd\r")).status).toBe(2);
    expect((await typed("abc\u0003")).status).toBe(130);
  });
});
