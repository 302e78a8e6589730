import { expect, it } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { publicKeyOfPeer } from "../../src/base/ids.ts";
import { recordKeyBytes } from "../../src/membership/records.ts";
import { provenBy } from "../../src/trust/index.ts";
import { convictionBody, doubtBody } from "../../src/wire/trust.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { clearanceRecord, convictionRecord, doubtRecord, Guilt } from "../support/trust.ts";
import { signer } from "../unit/membership/world.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const [node, administrator] = [signer("golden node"), signer("golden administrator")];

it("convictions, doubts and clearances are the pinned bytes", () => {
  const guilt = new Guilt();
  const { swarm } = guilt.story;
  const said = { target: guilt.peer, timeMs: AT_MS };
  const denials = [1, 2, 3].map((number) => guilt.denied(number));
  const conviction = convictionRecord(swarm, node, { ...said, evidence: denials });
  const encodings = {
    wrong: encodeSigned(convictionRecord(swarm, node, { ...said, evidence: [guilt.wrong()] })),
    denied: encodeSigned(conviction),
    doubt: encodeSigned(doubtRecord(swarm, node, said)),
    takenBack: encodeSigned(doubtRecord(swarm, node, { ...said, stands: false })),
    clearance: encodeSigned(clearanceRecord(swarm, administrator, said)),
    recordKey: recordKeyBytes({
      type: "doubt",
      signer: node.publicKey,
      subkey: publicKeyOfPeer(guilt.peer),
    }),
  };
  const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
  expect(hex).toEqual(goldenJson("v1/membership/trust.json", hex));
  expect(convictionBody.decode(conviction.body).evidence).toEqual(denials);
  expect(provenBy(guilt.peer, guilt.denials([1, 2, 3]), swarm).kind).toBe("denied");
  expect(doubtBody.decode(doubtRecord(swarm, node, said).body).stands).toBe(true);
});
