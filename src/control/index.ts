/**
 * The local control API: what can be asked of a running daemon over the socket in its home. The command line
 * and the dashboard are two clients of it and can do the same things.
 *
 * Invariant: client and server are the same interface, `ControlHandlers`. An answer ends with exactly one
 * result or error; one that does not was cut off and is never taken for done. A client that goes away stops
 * what it asked for; a slow one slows it down.
 *
 * It does not know what the commands do. The server half, server.ts, is imported by the daemon alone: it
 * brings the HTTP framework with it.
 */
export * from "./api.ts";
export { controlClient } from "./client.ts";
export { DaemonFailure, type FaultJson, faultFromJson, faultToJson } from "./fault-json.ts";
export type { LockInfo } from "./locks-api.ts";
