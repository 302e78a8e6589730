/**
 * Hashes, signatures, keys and sealing. Invariant: everything is synchronous and a function of its arguments; whoever
 * calls passes the randomness in. No key that is derived here seals two different messages with one nonce. Does not
 * keep keys, and does not know what a segment, a head or a slot record is.
 */
export * from "./administrator-key.ts";
export * from "./aead.ts";
export * from "./box.ts";
export * from "./hash.ts";
export * from "./kdf.ts";
export * from "./keys.ts";
export * from "./passphrase-slot.ts";
export * from "./recovery-key.ts";
export * from "./recovery-share.ts";
export * from "./sealed-recovery-key.ts";
export * from "./sign.ts";
export * from "./signed.ts";
