import {
  type AuditBook,
  Auditor,
  AuditRounds,
  RowAuditor,
  SharedRows,
  type Suspicion,
} from "../audit/index.ts";
import type { PeerId, SwarmId } from "../base/ids.ts";
import type { Signer } from "../crypto/sign.ts";
import type { Fence, KeptMaps, PeerClient } from "../exchange/index.ts";
import type { KnownLost } from "../losses/index.ts";
import type { RecordStore, Roster } from "../membership/index.ts";
import { type TrustBook, TrustVoice } from "../trust/index.ts";
import type { NodePorts } from "./ports.ts";
import type { Repository } from "./repository.ts";

/** What somebody's looking into it came to. */
export interface Cleared {
  /** Whether this node's own audits had made it suspect. */
  readonly own: boolean;
  /** This node's administrator has said it to the swarm. */
  readonly bySwarm: boolean;
}

/** A node's audits of those who hold its owner's shards, and whom it believes how far. */
export class Audits {
  readonly book: AuditBook;
  readonly rounds: AuditRounds;
  readonly trust: TrustBook;
  readonly #voice: TrustVoice;
  readonly #log: NodePorts["log"];
  #endTrust: (() => void) | undefined;

  constructor(
    components: NodePorts & {
      book: AuditBook;
      trust: TrustBook;
      records: RecordStore;
      roster: Roster;
      repository: Repository;
      client: PeerClient;
      fence: Fence;
      signer: Signer;
      kept: KeptMaps;
      lost: KnownLost;
    },
    init: { swarm: SwarmId; everyMs: number },
  ) {
    const { repository, fence, book, trust } = components;
    const { catalog, maps } = repository;
    const auditor = new Auditor({ ...components, catalog }, init);
    const mayAsk = (): boolean => fence.why === undefined && !catalog.state.readOnly;
    this.book = book;
    this.trust = trust;
    const shared = new SharedRows(components, { ...init, self: components.network.self });
    const rows = new RowAuditor({ ...components, rows: shared }, init);
    this.rounds = new AuditRounds({ ...components, maps, auditor, rows, mayAsk }, init);
    this.#voice = new TrustVoice({ ...components, book: trust, audits: book });
    this.#log = components.log;
  }

  start(): void {
    this.#endTrust = this.trust.start();
    this.#voice.start();
    this.rounds.start();
  }

  async stop(): Promise<void> {
    await this.rounds.stop();
    await this.#voice.stop();
    this.#endTrust?.();
  }

  /** Somebody has looked into it. With an administrator's key the swarm is told, too. */
  async clear(peer: PeerId, administrator?: Signer): Promise<Cleared> {
    const bySwarm = administrator !== undefined && this.trust.bySwarm(peer).kind !== "trusted";
    if (administrator !== undefined && bySwarm)
      await this.#voice.clear(peer, administrator, "an administrator has looked into it");
    const own = await this.book.clear(peer);
    if (own) this.#log.info("holder-cleared", { peer });
    return { own, bySwarm };
  }

  suspicion(peer: PeerId): Suspicion | undefined {
    return this.book.suspicion(peer);
  }
}
