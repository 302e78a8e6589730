import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import type { Libp2p } from "@libp2p/interface";
import { noise } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { createLibp2p } from "libp2p";

/** A libp2p node without anything of ours, that dials and says what it likes. */
export async function createRawLibp2p(seed: Uint8Array): Promise<Libp2p> {
  return createLibp2p({
    privateKey: await generateKeyPairFromSeed("Ed25519", seed),
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
  });
}
