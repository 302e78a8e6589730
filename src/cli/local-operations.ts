import type { ProgressEvent } from "../control/api.ts";

/**
 * What the commands do that need no running daemon: they work on a home directory. Each takes the home's
 * lock first and throws HOME_LOCKED while a daemon holds it. Implemented in runtime.ts.
 */
export interface LocalOperations {
  initHome(options: InitOptions): Promise<InitReport>;
  joinHome(options: JoinOptions): Promise<JoinReport>;
  recoverHome(options: RecoverOptions): Promise<RecoverReport>;
  /** Resolves after a clean stop, which `signal` asks for. */
  runDaemon(options: DaemonOptions): Promise<void>;
}

export interface InitOptions {
  readonly home: string;
  readonly site: string;
  /** What people call this node; the host name if they do not say. */
  readonly name: string;
  /** `HOST:PORT` or a multiaddr; port 0 picks a free one, which is then kept. */
  readonly listen?: string;
  /** What this node offers to others; chosen from the disk when absent. */
  readonly capacityBytes?: number;
}

export interface InitReport {
  /** The 24 words of the recovery key. Printed once, kept nowhere. */
  readonly words: readonly string[];
  readonly peerId: string;
  readonly swarmId: string;
  readonly ownerId: string;
  readonly site: string;
  readonly name: string;
  /** As multiaddrs, ports resolved. */
  readonly listen: readonly string[];
  readonly capacityBytes: number;
}

export interface JoinOptions extends Omit<InitOptions, "site"> {
  readonly token: string;
  /** Must be the token's, if given. */
  readonly site?: string;
}

export interface JoinReport extends InitReport {
  readonly members: number;
}

export interface RecoverOptions extends Omit<InitOptions, "site"> {
  /** The 24 words. */
  readonly words: readonly string[];
  /** Addresses of members, tried in order; empty when there is a token. */
  readonly peers: readonly string[];
  readonly token?: string;
  readonly site?: string;
  /** Only look and restore: no new incarnation, nothing is fenced. */
  readonly readOnly: boolean;
  /** An older head's id, or the beginning of it. */
  readonly head?: string;
  /** Go on below a majority of the pool, with this head. */
  readonly acceptHead?: string;
  readonly signal: AbortSignal;
  readonly onProgress: (event: ProgressEvent) => void;
}

export interface RecoverReport {
  readonly ownerId: string;
  readonly peerId: string;
  readonly site: string;
  readonly members: { readonly asked: number; readonly answered: number };
  readonly head: {
    readonly id: string;
    /** ISO 8601. */
    readonly time: string;
    readonly incarnation: string;
    readonly epoch: number;
  };
  readonly snapshots: number;
  readonly readOnly: boolean;
  /** Plain sentences, such as snapshots of an older head that this one drops. */
  readonly warnings: readonly string[];
  readonly bytesFetched: number;
}

export interface DaemonOptions {
  readonly home: string;
  /** Replaces the address of the home for this run and from now on. */
  readonly listen?: string;
  /** Replaces what others are told of where this node listens, for this run and from now on. */
  readonly announce?: readonly string[];
  /** Replaces the home's bound of the spool for this run and from now on. */
  readonly spoolMaxBytes?: number;
  readonly signal: AbortSignal;
}
