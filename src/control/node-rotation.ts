import { must } from "../base/assert.ts";
import { fromBase64Url, toHex } from "../base/bytes.ts";
import type { Node } from "../node/index.ts";
import { iso } from "./node-json.ts";
import type { RotateRequest, RotateResult, RotationBasisResult } from "./rotation-api.ts";

export function rotationBasisHandler(node: Node): RotationBasisResult {
  const { swarm, owner, peer, certificate, generation, number, retires, incarnation } = node.rotationBasis();
  return {
    swarmId: swarm,
    ownerId: owner,
    peerId: peer,
    certificate: toHex(certificate),
    generation,
    number,
    retires: toHex(retires),
    incarnation,
  };
}

export async function rotateHandler(node: Node, { entry }: RotateRequest): Promise<RotateResult> {
  const { body } = await node.rotate(must(fromBase64Url(entry), "entry in base64url"));
  const { self } = node.ports.network;
  const others = node.roster.members().filter(({ peer }) => peer !== self);
  const connected = new Set(node.ports.network.connected());
  return {
    recoveryId: toHex(body.recovery),
    oldRecoveryId: toHex(body.retires),
    since: iso(body.issuedMs),
    members: others.length,
    connected: others.filter(({ peer }) => connected.has(peer)).length,
  };
}
