import { unlinkSync } from "node:fs";
import { must } from "../../src/base/assert.ts";
import { isFault } from "../../src/base/fault.ts";
import { type SegmentId, segmentKey } from "../../src/base/ids.ts";
import { Node, type NodePorts } from "../../src/node/index.ts";
import { generationsOf } from "../../src/placement/index.ts";
import type { ShardStore } from "../../src/ports/index.ts";
import { bodyOfSlot, signClaim, slotsOfGeneration, versionOf } from "../../src/repair/index.ts";
import { type DataRequest, dataAnswer, dataRequest } from "../../src/wire/data.ts";

// Preloaded into a daemon (`NODE_OPTIONS=--import`): it signs receipts, throws the bytes away, and when it is asked to prove that
// it has them tries to get them from others, by asking as an owner does and by claiming that it lost them. Whatever it
// is given it says in its log.

type OpenArguments = Parameters<typeof Node.open>;

const open = Node.open.bind(Node);
Node.open = async (ports, roster, init) => {
  const thief = new Thief(ports, init.signer);
  const node = await open({ ...ports, shards: thief.store(ports.shards) }, roster, init);
  thief.node = node;
  return node;
};

class Thief {
  node: Node | undefined;
  readonly #ports: NodePorts;
  readonly #signer: OpenArguments[2]["signer"];
  readonly #tried = new Map<string, Promise<boolean>>();

  constructor(ports: NodePorts, signer: OpenArguments[2]["signer"]) {
    this.#ports = ports;
    this.#signer = signer;
  }

  store(real: ShardStore): ShardStore {
    const put: ShardStore["put"] = async (id, bytes, note) => {
      await real.put(id, bytes, note);
      unlinkSync(must(real.locate(id), "place of a shard").file);
    };
    const read: ShardStore["read"] = async (id) => {
      const tried = this.#tried.get(segmentKey(id)) ?? this.#fetch(id);
      this.#tried.set(segmentKey(id), tried);
      await tried;
      return undefined;
    };
    return new Proxy(real, {
      get: (target, name) => {
        if (name === "put") return put;
        if (name === "read") return read;
        // It admits nothing.
        if (name === "quarantine") return async () => false;
        if (name === "isSetAside") return () => false;
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  /** Each holder is asked for its shard of the segment. */
  async #fetch(segment: SegmentId): Promise<boolean> {
    const { owner, incarnation, number } = segment;
    const node = must(this.node, "node");
    const self = this.#ports.network.self;
    let isAny = false;
    for (const map of await node.heirship.book.maps(owner)) {
      for (const { classId, partition, fromSegment } of generationsOf(map.now)) {
        const at = { classId, partition, fromSegment };
        const slots = slotsOfGeneration(map, at);
        const own = slots.indexOf(self);
        if (own < 0) continue;
        const { ownerVersion, repairs } = versionOf(map, at, own);
        const body = { ...bodyOfSlot(map, at, own, ownerVersion, self), repairs };
        const timeMs = this.#ports.clock.wallMs();
        const claim = signClaim({ ...body, cause: { t: "mend" }, timeMs }, node.roster.swarm, this.#signer);
        for (const [index, peer] of slots.entries()) {
          if (peer === undefined || peer === self) continue;
          const get = { t: "get", v: 1, owner, incarnation, number, index, offset: 0, length: 0 } as const;
          isAny = (await this.#ask(peer, get)) || isAny;
          isAny = (await this.#ask(peer, { t: "repair-get", v: 1, claim, number, index })) || isAny;
        }
      }
    }
    return isAny;
  }

  async #ask(peer: Parameters<NodePorts["network"]["request"]>[0], request: DataRequest): Promise<boolean> {
    const { network, log } = this.#ports;
    const message = { head: dataRequest.encode(request), body: new Uint8Array(0) };
    try {
      const reply = await network.request(peer, "data", message, { idleTimeoutMs: 5000 });
      const answer = dataAnswer.decode(reply.head);
      const event = answer.t === "refused" ? "thief-refused" : "thief-fetched";
      log.info(event, { from: peer, asked: request.t });
      return answer.t !== "refused";
    } catch (error) {
      if (!isFault(error)) throw error;
      return false;
    }
  }
}
