import type { FleetModel } from "./model.ts";
import type { Row } from "./state.ts";

export interface Sample {
  readonly atMs: number;
  readonly nodesUp: number;
  readonly leastMargin: number;
  /** Mean over all rows. */
  readonly meanMargin: number;
  readonly bytesRepaired: number;
}

/** What happened to a fleet, counted. */
export class Ledger {
  readonly samples: Sample[] = [];
  outages = 0;
  losses = 0;
  siteLosses = 0;
  rotten = 0;
  shardsRepaired = 0;
  bytesRepaired = 0;
  /** Times that a row had too few shards, and its owner gave them again. */
  givenAgain = 0;
  rowsGone = 0;
  bytesGone = 0;
  /** Rows of which no further shard could be lost, and for how long at most. */
  timesAtRisk = 0;
  longestAtRiskMs = 0;
  leastMargin = Number.POSITIVE_INFINITY;
  readonly #model: FleetModel;

  constructor(model: FleetModel) {
    this.#model = model;
  }

  marginChanged(row: Row): void {
    const { nowMs } = this.#model;
    this.leastMargin = Math.min(this.leastMargin, row.margin);
    const isAtRisk = row.margin <= 0;
    if (isAtRisk && row.atRiskSinceMs === undefined) {
      row.atRiskSinceMs = nowMs;
      this.timesAtRisk++;
    } else if (!isAtRisk) this.#endRisk(row);
    if (row.margin < 0 && !row.isGone) this.#tooFew(row);
  }

  /** Too few are left in the swarm: with the owner gone, too, nobody has the bytes any more. */
  #tooFew(row: Row): void {
    if (!row.owner.isLost) {
      this.givenAgain++;
      return;
    }
    row.isGone = true;
    this.rowsGone++;
    this.bytesGone += row.shardBytes * this.#model.fleet.class.k;
    this.#endRisk(row);
  }

  #endRisk(row: Row): void {
    if (row.atRiskSinceMs === undefined) return;
    this.longestAtRiskMs = Math.max(this.longestAtRiskMs, this.#model.nowMs - row.atRiskSinceMs);
    row.atRiskSinceMs = undefined;
  }

  /** At the end of the years: what is at risk still counts up to now. */
  close(): void {
    for (const row of this.#model.rows) this.#endRisk(row);
  }

  sample(): void {
    const { nodes, rows, nowMs } = this.#model;
    const there = rows.filter(({ isGone }) => !isGone);
    const margins = there.map(({ margin }) => margin);
    this.samples.push({
      atMs: nowMs,
      nodesUp: nodes.filter(({ isUp }) => isUp).length,
      leastMargin: margins.reduce((least, margin) => Math.min(least, margin), Number.POSITIVE_INFINITY),
      meanMargin: margins.reduce((sum, margin) => sum + margin, 0) / Math.max(1, margins.length),
      bytesRepaired: this.bytesRepaired,
    });
  }
}
