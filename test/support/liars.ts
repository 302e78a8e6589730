import { Fault, isFault } from "../../src/base/fault.ts";
import type { Incarnation } from "../../src/base/ids.ts";
import { type DataAnswer, type DataRequest, dataAnswer, dataRequest } from "../../src/wire/data.ts";
import {
  type RecoverAnswer,
  type RecoverRequest,
  recoverAnswer,
  recoverRequest,
} from "../../src/wire/recover.ts";
import type { Machine, Swarm } from "./swarm.ts";

export interface Lies {
  /** Of the requests that only a recovery makes. */
  readonly recover?: (request: RecoverRequest, answer: RecoverAnswer) => RecoverAnswer;
  readonly data?: (request: DataRequest, answer: DataAnswer) => DataAnswer;
  readonly body?: (request: DataRequest, body: Uint8Array) => Uint8Array;
}

/** From now on this member tells recoveries something else than the truth. */
export function letLie(machine: Machine, lies: Lies): void {
  machine.lie = async ({ protocol, message, honest }) => {
    const answer = await honest();
    if (protocol !== "recover") return answer;
    const request = recoverRequestOf(message.head);
    if (request !== undefined) {
      const head = lies.recover?.(request, recoverAnswer.decode(answer.head));
      return head === undefined ? answer : { ...answer, head: recoverAnswer.encode(head) };
    }
    const asked = dataRequest.decode(message.head);
    const head = lies.data?.(asked, dataAnswer.decode(answer.head));
    return {
      head: head === undefined ? answer.head : dataAnswer.encode(head),
      body: lies.body?.(asked, answer.body) ?? answer.body,
    };
  };
}

function recoverRequestOf(head: Uint8Array): RecoverRequest | undefined {
  try {
    return recoverRequest.decode(head);
  } catch (error) {
    if (isFault(error, "FORMAT_INVALID")) return undefined;
    throw error;
  }
}

/** Segments of this life that nobody gives out or says to have, as if their holders were away. */
export function withhold(swarm: Swarm, life: Incarnation, numbers: ReadonlySet<number>): void {
  for (const machine of swarm.members) {
    machine.lie = async ({ message, honest }) => {
      const reply = await honest();
      const request = dataRequestOf(message.head);
      if (request === undefined || !("incarnation" in request) || request.incarnation !== life) return reply;
      if (request.t === "get" && numbers.has(request.number))
        throw new Fault({ code: "PEER_BUSY", peer: machine.peer });
      const answer = request.t === "have" ? dataAnswer.decode(reply.head) : undefined;
      if (request.t !== "have" || answer?.t !== "have") return reply;
      const held = answer.held.slice();
      request.shards.forEach(([number], i) => {
        if (numbers.has(number)) held[i >> 3] = (held[i >> 3] ?? 0) & ~(1 << (i & 7));
      });
      return { ...reply, head: dataAnswer.encode({ ...answer, held }) };
    };
  }
}

/** `undefined` for another protocol's. */
function dataRequestOf(head: Uint8Array): DataRequest | undefined {
  try {
    return dataRequest.decode(head);
  } catch (error) {
    if (isFault(error, "FORMAT_INVALID")) return undefined;
    throw error;
  }
}
