import type { ProgressEvent } from "../control/api.ts";
import type { RotationBasisResult } from "../control/rotation-api.ts";

/**
 * What the commands do that need no running daemon: they work on a home directory. Each takes the home's
 * lock first and throws HOME_LOCKED while a daemon holds it. Implemented in runtime.ts.
 */
export interface LocalOperations {
  /** `initHome` and `joinHome` do all but the last step, which is `completeNewHome`: no home comes about without its words. */
  initHome(options: InitOptions): Promise<InitReport>;
  joinHome(options: JoinOptions): Promise<JoinReport>;
  /** When the recovery key of a new home has been handed over. */
  completeNewHome(home: string): Promise<void>;
  recoverHome(options: RecoverOptions): Promise<RecoverReport>;
  adoptHome(options: AdoptOptions): Promise<AdoptReport>;
  /** When the recovery key of an adopted home has been handed over: it is kept no longer. */
  completeAdoption(home: string): Promise<void>;
  checkKey(options: KeyCheckOptions): Promise<HomeIdentity>;
  identityOfHome(home: string): Promise<HomeIdentity>;
  /** What leads to this home's root, and what was made of it here; no secrets. */
  keysOfHome(home: string): Promise<HomeKeyList>;
  /** A line of text with the words in it, under a passphrase; and a note of it in the home. */
  sealKey(options: SealKeyOptions): Promise<SealedKeyReport>;
  /** The words of such a line. Needs no home. */
  unsealKey(options: { readonly text: string; readonly passphrase: string }): Promise<readonly string[]>;
  /** Pieces of the words, and a note in the home. */
  splitKey(options: SplitKeyOptions): Promise<SplitKeyReport>;
  newRotation(options: RotationOptions): Promise<NewRotation>;
  /** When the daemon has it. */
  keepNewSlot(home: string, entry: string): Promise<void>;
  /** The words that pieces give; each text has one or more. Needs no home. */
  combineKey(texts: readonly string[]): Promise<readonly string[]>;
  membersOfHome(home: string): Promise<SheetMember[]>;
  /** The key with this public half, in hex, as a line of text. Needs no lock. */
  exportAdministratorKey(options: ExportKeyOptions): Promise<string>;
  importAdministratorKey(options: ImportKeyOptions): Promise<ImportKeyReport>;
  /** Checks an exported audit trail, with nothing but the file. */
  checkTrailFile(text: string): Promise<TrailFileReport>;
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

export interface AdoptOptions {
  readonly home: string;
  readonly token: string;
  /** Snapshots of this home that are whole nowhere else are given up. */
  readonly discardPending: boolean;
}

export type AdoptReport = JoinReport;

export interface RecoverOptions extends Omit<InitOptions, "site"> {
  /** `name` is only the host's: the node keeps the name that it had. */
  readonly keepsName: boolean;
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
  /** Go on below a majority of the pool, with this head; `none`: with an empty repository, where no head was found. */
  readonly acceptHead?: string;
  readonly signal: AbortSignal;
  readonly onProgress: (event: ProgressEvent) => void;
}

export interface RecoverReport {
  readonly ownerId: string;
  readonly peerId: string;
  readonly name: string;
  readonly site: string;
  readonly members: { readonly asked: number; readonly answered: number };
  /** Those who are to keep the newest head; a majority of them says which it is. */
  readonly pool: { readonly members: number; readonly answered: number };
  readonly silent: readonly {
    readonly peerId: string;
    readonly name: string;
    readonly site: string;
    readonly reason: string;
  }[];
  /** The one that was gone on from; absent where nothing was ever saved. */
  readonly head?: RecoverHead;
  /** Every head found, the best first. */
  readonly heads: readonly RecoverHead[];
  readonly snapshots: number;
  /** Newest first. */
  readonly snapshotList: readonly RecoverSnapshot[];
  /** What could not be read for now, because too few of its shards are in reach. */
  readonly missing: {
    readonly indexRuns: number;
    readonly indexPages: number;
    readonly snapshotPages: number;
    readonly olderHeads: number;
    readonly segments: number;
  };
  readonly readOnly: boolean;
  /** `asked`: by --read-only; `majority`: too few of the pool answered; `lines`: two unrelated states, and no word on which is the owner's. */
  readonly readOnlyBecause?: "asked" | "majority" | "lines";
  /** Plain sentences, such as snapshots of an older head that this one drops. */
  readonly warnings: readonly string[];
  readonly bytesFetched: number;
}

export interface RecoverHead {
  readonly id: string;
  /** ISO 8601; what its signer wrote. */
  readonly time: string;
  readonly ageMs: number;
  readonly incarnation: string;
  /** Whether the recovery key certified its life. */
  readonly certified: boolean;
  readonly epoch: number;
  /** How many of the members that answered showed it. */
  readonly shownBy: number;
  readonly chosen: boolean;
  /** Its key said something else with the same number. */
  readonly fork: boolean;
  /** Too far ahead of all others to be true: taken only when it is named. */
  readonly tooFarAhead: boolean;
}

export interface RecoverSnapshot {
  readonly snapshotId: string;
  readonly time: string;
  readonly host: string;
  readonly paths: readonly string[];
  readonly tags: readonly string[];
  readonly files: number;
  readonly bytes: number;
  /** As `cairn snapshots` shows it; absent for older ones, which are not looked at one by one. */
  readonly state?: string;
  /** Segments of it that too few answering members hold. */
  readonly segmentsMissing?: number;
  /** Of the others, those for which removed nodes are needed: only a home made with --read-only reads from these. */
  readonly segmentsAtRemoved?: number;
  /** The older head that listed it, where the chosen one does not. */
  readonly fromHead?: string;
}

export interface KeyCheckOptions {
  readonly home: string;
  /** The words as somebody typed them. */
  readonly text: string;
}

export interface SealKeyOptions extends KeyCheckOptions {
  readonly passphrase: string;
  /** What people call it. */
  readonly label?: string;
}

export interface SealedKeyReport extends HomeIdentity {
  /** In the list of keys. */
  readonly id: string;
  readonly recoveryId: string;
  /** What somebody with the passphrase can open. */
  readonly sealed: string;
}

export interface SplitKeyOptions extends KeyCheckOptions {
  readonly threshold: number;
  readonly shares: number;
}

export interface SplitKeyReport extends HomeIdentity {
  /** In the list of keys, and in every share. */
  readonly id: string;
  readonly recoveryId: string;
  /** The words of each, in the order of their numbers. */
  readonly shares: readonly (readonly string[])[];
}

export interface TrailFileReport {
  readonly swarmId: string;
  readonly ownerId: string;
  readonly entries: number;
  /** Number of the first one. */
  readonly from: number;
  /** Who signed them. */
  readonly nodes: readonly string[];
  readonly last?: { readonly sequence: number; readonly hash: string };
  readonly problems: readonly { readonly sequence: number; readonly reason: string }[];
}

export interface RotationOptions extends KeyCheckOptions {
  /** As the daemon gave it. */
  readonly basis: RotationBasisResult;
}

export interface NewRotation {
  readonly words: readonly string[];
  /** Base64url: the roster entry that puts them in force. */
  readonly entry: string;
}

/** Which copies of a recovery key were made at this home. */
export interface KeyCopy {
  readonly id: string;
  /** ISO 8601. */
  readonly time: string;
  readonly recoveryId: string;
  /** False: the recovery key has been replaced since, and this opens nothing any more. */
  readonly inForce: boolean;
}

export interface HomeKeyList extends HomeIdentity {
  readonly recovery: { readonly recoveryId: string; readonly since: string };
  readonly passphrases: readonly (KeyCopy & { readonly label?: string })[];
  readonly splits: readonly (KeyCopy & { readonly threshold: number; readonly shares: number })[];
}

/** Whose home it is, by its files alone. */
export interface HomeIdentity {
  readonly swarmId: string;
  readonly ownerId: string;
  readonly peerId: string;
  readonly name: string;
}

/** A member whose address is worth writing down. */
export interface SheetMember {
  readonly peerId: string;
  readonly name: string;
  readonly site: string;
  readonly addresses: readonly string[];
  readonly isAlive: boolean;
}

export interface ExportKeyOptions {
  readonly home: string;
  readonly key: string;
  readonly passphrase: string;
}

export interface ImportKeyOptions {
  readonly home: string;
  /** What export gave. */
  readonly text: string;
  readonly passphrase: string;
}

export interface ImportKeyReport {
  readonly key: string;
}

export interface DaemonOptions {
  readonly home: string;
  /** Replaces the address of the home for this run and from now on. */
  readonly listen?: string;
  /** Replaces what others are told of where this node listens, for this run and from now on. */
  readonly announce?: readonly string[];
  /** Replaces the home's bound of the spool for this run and from now on. */
  readonly spoolMaxBytes?: number;
  /** Replace what the home says of how much repair may send, for this run and from now on; as in its settings. */
  readonly repairRate: { readonly uplink?: string; readonly budget?: string; readonly night?: string };
  readonly signal: AbortSignal;
}
