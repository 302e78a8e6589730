/** Time as the core sees it. The daemon passes the system clock; the simulator virtual time. */
export interface Clock {
  /** Milliseconds since the epoch, whole; may jump. For manifests, receipts and expiries that outlive the process. */
  wallMs(): number;
  /** Never goes back; means nothing after a restart. For timeouts, rates and ages. */
  monotonicMs(): number;
  /** Rejects with the signal's reason if aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
