/**
 * The node core: builds the services of one member from a set of ports, starts and stops them, and answers peers. It
 * knows no socket, file or process; the daemon and the simulator give it theirs.
 */
export { importCatalog } from "./catalog-import.ts";
export { type Founded, type FoundingComponents, foundSwarm, joinExisting } from "./founding.ts";
export { type Identity, newIdentity } from "./identity.ts";
export { Node, type NodeInit } from "./node.ts";
export { DEFAULT_SIZES, NAMESPACE, type NodePorts, type RepositorySizes } from "./ports.ts";
export { type FoundHead, type PoolFindings, pickHead, Recovery } from "./recovery.ts";
export { Repository, type RestoreRequest, type SnapshotRequest, type SnapshotResult } from "./repository.ts";
export { makeSlot, openSlot, type SlotContent } from "./slot.ts";
export { RosterView } from "./swarm-view.ts";
