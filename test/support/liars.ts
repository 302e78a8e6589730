import { isFault } from "../../src/base/fault.ts";
import { type DataAnswer, type DataRequest, dataAnswer, dataRequest } from "../../src/wire/data.ts";
import {
  type RecoverAnswer,
  type RecoverRequest,
  recoverAnswer,
  recoverRequest,
} from "../../src/wire/recover.ts";
import type { Machine } from "./swarm.ts";

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
