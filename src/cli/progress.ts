import { formatBytes, formatDuration, SECOND_MS } from "../base/units.ts";
import type { ProgressEvent } from "../control/api.ts";
import { counted, printable } from "./text.ts";

type Progress = Extract<ProgressEvent, { type: "progress" }>;

/** On a terminal the line is drawn anew this often; in a log a line is added so often. */
const REDRAW_MS = 200;
const LOG_LINE_MS = 5 * SECOND_MS;
/** An estimate from less than this much work jumps about. */
const ESTIMATE_AFTER_MS = 2 * SECOND_MS;

export interface ProgressTarget {
  write(text: string): void;
  /** Undefined where there is no cursor to move. */
  readonly columns: number | undefined;
  monotonicMs(): number;
}

/** Phase, bytes, rate and ETA on standard error: one line that changes on a terminal, a line now and then in a log. */
export class ProgressDisplay {
  readonly #target: ProgressTarget;
  #phase: { name: string; startedMs: number; startBytes: number } | undefined;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #lineShown = false;

  constructor(target: ProgressTarget) {
    this.#target = target;
  }

  show(event: ProgressEvent): void {
    if (event.type === "warning") {
      this.clear();
      this.#target.write(`${printable(event.text)}\n`);
      return;
    }
    const nowMs = this.#target.monotonicMs();
    const changed = this.#phase?.name !== event.phase;
    if (changed) this.#phase = { name: event.phase, startedMs: nowMs, startBytes: event.bytes ?? 0 };
    const terminal = this.#target.columns !== undefined;
    if (!changed && nowMs - this.#drawnMs < (terminal ? REDRAW_MS : LOG_LINE_MS)) return;
    this.#drawnMs = nowMs;
    this.#draw(this.#text(event, nowMs));
  }

  /** Takes the line away, so that something else can be printed. */
  clear(): void {
    if (this.#lineShown) this.#target.write("\r\x1b[K");
    this.#lineShown = false;
  }

  #draw(text: string): void {
    const { columns } = this.#target;
    if (columns === undefined) {
      this.#target.write(`${text}\n`);
      return;
    }
    this.#target.write(`\r\x1b[K${text.slice(0, Math.max(20, columns - 1))}`);
    this.#lineShown = true;
  }

  #text(event: Progress, nowMs: number): string {
    const elapsedMs = nowMs - (this.#phase?.startedMs ?? nowMs);
    const moved = (event.bytes ?? 0) - (this.#phase?.startBytes ?? 0);
    const perMs = elapsedMs > 0 ? moved / elapsedMs : 0;
    const parts = [printable(event.phase).padEnd(7), amount(event)];
    if (perMs > 0 && elapsedMs >= SECOND_MS) parts.push(`${formatBytes(Math.round(perMs * SECOND_MS))}/s`);
    const left = (event.bytesTotal ?? 0) - (event.bytes ?? 0);
    if (perMs > 0 && left > 0 && elapsedMs >= ESTIMATE_AFTER_MS)
      parts.push(`ETA ${formatDuration(left / perMs)}`);
    if (event.files !== undefined) parts.push(counted(event.files, "file"));
    if (event.segments !== undefined) parts.push(ofTotal(event.segments, event.segmentsTotal, "segment"));
    return parts.filter((part) => part !== "").join("  ");
  }
}

function amount({ bytes, bytesTotal }: Progress): string {
  if (bytes === undefined) return "";
  if (bytesTotal === undefined || bytesTotal === 0) return formatBytes(bytes);
  const percent = Math.min(100, Math.floor((bytes / bytesTotal) * 100));
  return `${formatBytes(bytes)} of ${formatBytes(bytesTotal)}  ${percent} %`;
}

function ofTotal(count: number, total: number | undefined, what: string): string {
  return total === undefined ? counted(count, what) : `${count} of ${counted(total, what)}`;
}
