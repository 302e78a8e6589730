import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { signEndorsement, signWithdrawal } from "../../src/membership/entry.ts";
import { checkApproval, checkProposal, proposalId, readProposal } from "../../src/membership/proposals.ts";
import { recordKeyBytes } from "../../src/membership/records.ts";
import { approvalBody, proposalBody } from "../../src/wire/proposal.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { swarmIdOf } from "../../src/base/ids.ts";
import { signer } from "../unit/membership/world.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const [first, second] = [signer("golden administrator 1"), signer("golden administrator 2")];
const swarm = swarmIdOf(new Uint8Array(32).fill(0x22));
const times = { issuedMs: AT_MS, expiresMs: AT_MS + 604_800_000, keptMs: AT_MS + 604_800_000 };
const entry = signWithdrawal(swarm, { v: 1, entry: new Uint8Array(32).fill(0x77), issuedMs: AT_MS }, [first]);
const endorsement = signEndorsement(swarm, { v: 1, set: 1, entries: [entry.hash], issuedMs: AT_MS }, second);

const proposal = signStatement(
  {
    type: "proposal",
    swarm,
    incarnation: NO_INCARNATION,
    epoch: 1,
    body: proposalBody.encode({ v: 1, slot: 3, entries: [entry.bytes], ...times }),
  },
  first,
);
const approval = (said: { endorsements: Uint8Array[]; signature?: Uint8Array }) =>
  signStatement(
    {
      type: "approval",
      swarm,
      incarnation: NO_INCARNATION,
      epoch: 1,
      body: approvalBody.encode({
        v: 1,
        slot: 5,
        proposal: proposalId([entry]),
        verdict: "signed",
        ...said,
        ...times,
      }),
    },
    second,
  );

it("proposals and approvals, version 1", () => {
  const byEndorsement = approval({ endorsements: [endorsement.bytes] });
  const bySignature = approval({ endorsements: [], signature: new Uint8Array(64).fill(0x55) });
  const encodings = {
    proposal: encodeSigned(proposal),
    proposalId: proposalId([entry]),
    proposalKey: recordKeyBytes({ type: "proposal", signer: first.publicKey, subkey: Uint8Array.of(3) }),
    approval: encodeSigned(byEndorsement),
    approvalOfChange: encodeSigned(bySignature),
  };
  const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
  expect(hex).toEqual(goldenJson("v1/membership/proposals.json", hex));
  checkProposal(proposal);
  checkApproval(byEndorsement);
  checkApproval(bySignature);
  expect(readProposal(proposal)?.deed.kind).toBe("withdrawal");
  // As the format says it, with no code of ours.
  const hash = createHash("sha256").update("cairn/1/proposal-id\0").update(entry.hash).digest();
  expect(toHex(proposalId([entry]))).toBe(hash.toString("hex"));
});
