import { encodeConviction, judgeAnswer } from "../../src/audit/index.ts";
import { must } from "../../src/base/assert.ts";
import { type PeerId, type SwarmId, swarmIdOf } from "../../src/base/ids.ts";
import type { Signer } from "../../src/crypto/sign.ts";
import { NO_INCARNATION, type Signed, signStatement } from "../../src/crypto/signed.ts";
import {
  CLEARANCE_EPOCH_MS,
  CONVICTION_EPOCH_MS,
  clearanceBody,
  convictionBody,
  DOUBT_EPOCH_MS,
  doubtBody,
} from "../../src/wire/trust.ts";
import { AuditStory } from "./audits.ts";

/** Evidence against the holder of an audit story. */
export class Guilt {
  readonly story: AuditStory;

  constructor(swarm: SwarmId = swarmIdOf(new Uint8Array(32).fill(7))) {
    this.story = new AuditStory(100, swarm);
  }

  get peer(): PeerId {
    return this.story.peer;
  }

  wrong(timeMs = 2000): Uint8Array {
    const { story } = this;
    const request = story.request([0]);
    const altered = story.bytes.map((byte) => byte ^ 1);
    const { statement, verdicts } = judgeAnswer(
      story.peer,
      story.swarm,
      request,
      story.reply(request, altered, { timeMs }),
    );
    const verdict = must(verdicts[0], "verdict");
    if (verdict.is !== "wrong") throw new Error(verdict.is);
    return encodeConviction({
      statement,
      position: 0,
      proof: { t: "wrong", leaf: verdict.leaf, proof: verdict.proof },
    });
  }

  /** Of one statement about these segments and `others`, which the holder has. */
  denials(numbers: readonly number[], init: { others?: number; told?: boolean } = {}): Uint8Array[] {
    const { story } = this;
    const [challenge] = story.request([0]).challenges;
    const of = (number: number) => ({ ...must(challenge, "challenge"), number });
    const others = Array.from({ length: init.others ?? 0 }, (_, i) => of(10_000 + i));
    const told = init.told === true ? { told: true as const } : {};
    const found = { shardBytes: 100, leafBytes: 64, hash: new Uint8Array(32) };
    const items = [
      ...numbers.map((number) => ({ asked: of(number), found: null, ...told })),
      ...others.map((asked) => ({ asked, found })),
    ];
    const request = { ...story.request([]), challenges: items.map(({ asked }) => asked) };
    const statement = story.statement(request, { items });
    return numbers.map((number, position) =>
      encodeConviction({ statement, position, proof: { t: "denied", receipt: story.receipt({ number }) } }),
    );
  }

  denied(number: number, timeMs = 2000): Uint8Array {
    const { story } = this;
    const [challenge] = story.request([0]).challenges;
    const request = { ...story.request([0]), challenges: [{ ...must(challenge, "challenge"), number }] };
    const { statement } = story.denial(request, { timeMs }).answer;
    const receipt = story.receipt({ number, timeMs: timeMs - 1000 });
    return encodeConviction({ statement, position: 0, proof: { t: "denied", receipt } });
  }
}

const inSwarm = (swarm: SwarmId) => ({ swarm, incarnation: NO_INCARNATION });

export function convictionRecord(
  swarm: SwarmId,
  by: Signer,
  said: { target: PeerId; timeMs: number; evidence: Uint8Array[] },
  epoch = Math.floor(said.timeMs / CONVICTION_EPOCH_MS),
): Signed {
  const body = convictionBody.encode({ v: 1, ...said });
  return signStatement({ type: "conviction", ...inSwarm(swarm), epoch, body }, by);
}

export function doubtRecord(
  swarm: SwarmId,
  by: Signer,
  said: { target: PeerId; timeMs: number; stands?: boolean },
): Signed {
  const body = doubtBody.encode({ v: 1, stands: true, reason: "a reason", ...said });
  const epoch = Math.floor(said.timeMs / DOUBT_EPOCH_MS);
  return signStatement({ type: "doubt", ...inSwarm(swarm), epoch, body }, by);
}

export function clearanceRecord(
  swarm: SwarmId,
  by: Signer,
  said: { target: PeerId; timeMs: number },
): Signed {
  const body = clearanceBody.encode({ v: 1, reason: "looked into it", ...said });
  const epoch = Math.floor(said.timeMs / CLEARANCE_EPOCH_MS);
  return signStatement({ type: "clearance", ...inSwarm(swarm), epoch, body }, by);
}
