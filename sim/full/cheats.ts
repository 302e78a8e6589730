import { unreachable } from "../../src/base/assert.ts";
import type { NetMessage } from "../../src/ports/index.ts";
import { dataAnswer, dataRequest } from "../../src/wire/data.ts";
import type { Answered, SimMachine } from "./machine.ts";
import type { Cheat, RecoveryLie } from "./plan.ts";
import type { World } from "./world.ts";

const NOTHING: NetMessage = { head: new Uint8Array(0), body: new Uint8Array(0) };

/** What a machine sends in the place of its node's honest answer. */
export function cheatOn(world: World, answered: Answered): NetMessage {
  const { machine, protocol, answer } = answered;
  const { cheat, recoveryLie } = machine;
  if (cheat !== undefined && protocol === "data") return cheated(world, cheat, answered);
  return recoveryLie !== undefined && protocol === "recover" ? lieAbout(recoveryLie, answer) : answer;
}

function cheated(world: World, how: Cheat, { machine, request, answer }: Answered): NetMessage {
  const asked = dataRequest.decode(request.head);
  switch (how) {
    case "drop":
      // It has said that it has the shard, and throws one away.
      if (asked.t === "put") throwOneAway(world, machine);
      return answer;
    case "forget":
      if (asked.t === "audit" || asked.t === "get") throwOneAway(world, machine);
      return answer;
    case "garbage":
      return asked.t === "get" && answer.body.length > 0 ? { ...answer, body: spoilt(answer.body) } : answer;
    case "withhold":
      return asked.t === "get" ? NOTHING : answer;
    default:
      return unreachable(how);
  }
}

function throwOneAway(world: World, machine: SimMachine): void {
  const last = machine.shardDisk.sorted().at(-1);
  if (last === undefined) return;
  world.truth.damage(machine, last.id);
  machine.shardDisk.delete(last.id);
  world.label("cheat threw a shard away");
}

function spoilt(body: Uint8Array): Uint8Array {
  const out = body.slice();
  out[out.length >> 1] = (out[out.length >> 1] ?? 0) ^ 1;
  return out;
}

function lieAbout(how: RecoveryLie, answer: NetMessage): NetMessage {
  if (how === "nothing") return NOTHING;
  try {
    const said = dataAnswer.decode(answer.head);
    return said.t === "records" ? { ...answer, head: dataAnswer.encode({ ...said, records: [] }) } : answer;
  } catch {
    // An answer that only recoveries get: who is in the swarm is told as it is.
    return answer;
  }
}
