import { combine, split } from "shamir-secret-sharing";
import { systemClock, systemRng } from "../adapters/system.ts";
import { must } from "../base/assert.ts";
import { equalBytes, toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import {
  deriveRecoveryKeys,
  openRecoveryKey,
  PASSPHRASE_SLOT_RANDOM_BYTES,
  parseShares,
  recoveryWords,
  SHARE_SET_BYTES,
  sealRecoveryKey,
  shareHintOf,
  sharesAltered,
  sharesToCombine,
  shareWords,
} from "../crypto/index.ts";
import { readSlot } from "../node/index.ts";
import type {
  HomeKeyList,
  KeyCopy,
  SealedKeyReport,
  SealKeyOptions,
  SplitKeyOptions,
  SplitKeyReport,
} from "./local-operations.ts";
import { readHome } from "./runtime-home.ts";
import { checkKey, entropyOf, identityOfHome } from "./runtime-key.ts";
import { COPIES_MAX, type NotedCopy, noteCopy, notedCopies } from "./runtime-key-notes.ts";

/** Seals words that open this home. The line leaves the home; what stays is a note that there is one. */
export async function sealKey(options: SealKeyOptions): Promise<SealedKeyReport> {
  const { home, text, passphrase, label } = options;
  const identity = await checkKey(options);
  const entropy = entropyOf(text);
  const { swarm, owner } = readSlot(readHome(home).keys.slot);
  const random = systemRng.bytes(PASSPHRASE_SLOT_RANDOM_BYTES);
  const sealed = sealRecoveryKey(entropy, { swarm, owner, passphrase, random });
  const id = toHex(systemRng.bytes(SHARE_SET_BYTES));
  const recoveryId = toHex(deriveRecoveryKeys(entropy).identity.publicKey);
  checkRoom(home);
  const note = {
    version: 1,
    kind: "passphrase",
    recovery: recoveryId,
    timeMs: systemClock.wallMs(),
  } as const;
  await noteCopy(home, id, label === undefined ? note : { ...note, label });
  return { ...identity, id, recoveryId, sealed };
}

export async function unsealKey(options: { text: string; passphrase: string }): Promise<readonly string[]> {
  return recoveryWords(openRecoveryKey(options.text, options.passphrase).entropy).split(" ");
}

/** Splits words that open this home; puts them together again before anybody relies on the pieces. */
export async function splitKey(options: SplitKeyOptions): Promise<SplitKeyReport> {
  const { home, text, threshold, shares } = options;
  const identity = await checkKey(options);
  const entropy = entropyOf(text);
  const recovery = deriveRecoveryKeys(entropy).identity.publicKey;
  checkRoom(home);
  const set = systemRng.bytes(SHARE_SET_BYTES);
  const pieces = await split(entropy, shares, threshold);
  const words = pieces.map((piece, i) =>
    shareWords({
      threshold,
      shares,
      number: i + 1,
      set,
      hint: shareHintOf(recovery),
      x: must(piece.at(-1), "place of a piece"),
      y: piece.slice(0, -1),
    }),
  );
  const twice = [...words, ...words].map((piece) => piece.join(" "));
  for (let i = 0; i < shares; i++) await combineKey(twice.slice(i, i + threshold));
  const id = toHex(set);
  const recoveryId = toHex(recovery);
  const note = {
    kind: "split",
    recovery: recoveryId,
    timeMs: systemClock.wallMs(),
    threshold,
    shares,
  } as const;
  await noteCopy(home, id, { version: 1, ...note });
  return { ...identity, id, recoveryId, shares: words };
}

export async function combineKey(texts: readonly string[]): Promise<readonly string[]> {
  const shares = sharesToCombine(texts.flatMap(parseShares));
  const pieces = shares.map(({ x, y }) => Uint8Array.from([...y, x]));
  const entropy = await combine(pieces);
  const hint = shareHintOf(deriveRecoveryKeys(entropy).identity.publicKey);
  if (!equalBytes(hint, must(shares[0], "share").hint)) throw sharesAltered();
  return recoveryWords(entropy).split(" ");
}

export async function keysOfHome(home: string): Promise<HomeKeyList> {
  const identity = await identityOfHome(home);
  const { recovery, sinceMs } = readSlot(readHome(home).keys.slot);
  const recoveryId = toHex(recovery);
  const copyOf = ({ id, timeMs, recovery: copied }: NotedCopy): KeyCopy => ({
    id,
    time: new Date(timeMs).toISOString(),
    recoveryId: copied,
    inForce: copied === recoveryId,
  });
  const notes = notedCopies(home);
  return {
    ...identity,
    recovery: { recoveryId, since: new Date(sinceMs).toISOString() },
    passphrases: notes.flatMap((note) => {
      if (note.kind !== "passphrase") return [];
      return [{ ...copyOf(note), ...(note.label === undefined ? {} : { label: note.label }) }];
    }),
    splits: notes.flatMap((note) => {
      if (note.kind !== "split") return [];
      return [{ ...copyOf(note), threshold: note.threshold, shares: note.shares }];
    }),
  };
}

function checkRoom(home: string): void {
  if (notedCopies(home).length < COPIES_MAX) return;
  const reason = `this home has notes of ${COPIES_MAX} copies of its recovery key; replace the key ("cairn key rotate"), and remove keys/copies`;
  throw new Fault({ code: "NOT_ALLOWED", reason });
}
