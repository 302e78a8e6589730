import { expect, it } from "vitest";
import { ownerIdOf } from "../../src/base/ids.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { recordKeyBytes } from "../../src/membership/records.ts";
import { recoveryUseBody } from "../../src/wire/recovery-use.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { syncAnswerCodec } from "../../src/wire/sync.ts";
import { newSwarm, signer } from "../unit/membership/world.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const [node, owner, recovery] = [signer("golden node"), signer("golden owner"), signer("golden recovery")];

it("what a member saw of a recovery key, and what it answers a former member, are as they were", async () => {
  const { swarm } = await newSwarm({ name: "golden recovery use" });
  const use = {
    v: 1 as const,
    owner: ownerIdOf(owner.publicKey),
    recovery: recovery.publicKey,
    hellos: 3,
    reads: 2,
    submits: 1,
    firstMs: AT_MS,
    lastMs: AT_MS + 86_400_000,
  };
  const body = recoveryUseBody.encode(use);
  const statement = {
    type: "recovery-use" as const,
    swarm,
    incarnation: NO_INCARNATION,
    epoch: 1_800_000_000,
    body,
  };
  const encodings: Record<string, Uint8Array> = {
    recoveryUse: encodeSigned(signStatement(statement, node)),
    recordKey: recordKeyBytes({ type: "recovery-use", signer: node.publicKey, subkey: owner.publicKey }),
    comparedAsFormer: syncAnswerCodec.encode({ v: 1, kind: "compared", as: "former" }),
  };
  const hex = Object.fromEntries(
    Object.entries(encodings).map(([name, bytes]) => [name, Buffer.from(bytes).toString("hex")]),
  );
  expect(hex).toEqual(goldenJson("v1/membership/recovery-use.json", hex));
  expect(recoveryUseBody.decode(body)).toEqual(use);
});
