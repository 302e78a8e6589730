import { type AuditBook, Auditor, AuditRounds, type Suspicion } from "../audit/index.ts";
import type { PeerId, SwarmId } from "../base/ids.ts";
import type { Fence, PeerClient } from "../exchange/index.ts";
import type { NodePorts } from "./ports.ts";
import type { Repository } from "./repository.ts";

/** A node's audits of those who hold its owner's shards. */
export class Audits {
  readonly book: AuditBook;
  readonly rounds: AuditRounds;
  readonly #log: NodePorts["log"];

  constructor(
    components: NodePorts & { book: AuditBook; repository: Repository; client: PeerClient; fence: Fence },
    init: { swarm: SwarmId },
  ) {
    const { repository, fence, book } = components;
    const { catalog, maps } = repository;
    const auditor = new Auditor({ ...components, catalog }, init);
    const mayAsk = (): boolean => fence.why === undefined && !catalog.state.readOnly;
    this.book = book;
    this.rounds = new AuditRounds({ ...components, maps, auditor, mayAsk });
    this.#log = components.log;
  }

  /** Somebody has looked into it: the peer gets new data again. Whether it was suspect. */
  async clear(peer: PeerId): Promise<boolean> {
    const wasSuspect = await this.book.clear(peer);
    if (wasSuspect) this.#log.info("holder-cleared", { peer });
    return wasSuspect;
  }

  suspicion(peer: PeerId): Suspicion | undefined {
    return this.book.suspicion(peer);
  }
}
