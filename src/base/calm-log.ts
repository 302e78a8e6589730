import type { Log } from "./log.ts";

/** Lines of one event about one subject in a window; what comes beyond is counted and told afterwards. */
const LINES_MAX = 5;
const WINDOW_MS = 60_000;
/** Subjects that are told apart at a time: whoever is behind them may make up new ones without end. */
const SUBJECTS_MAX = 256;
/** What a line is about, the first of these that it has. */
const SUBJECT_FIELDS = ["source", "peer", "guest", "from", "owner", "signer"] as const;

type Level = "info" | "warn" | "error";
type Fields = Readonly<Record<string, unknown>>;

interface Window {
  readonly level: Level;
  readonly event: string;
  readonly endMs: number;
  lines: number;
  suppressed: number;
  last: Fields;
}

/**
 * A log that others cannot fill: for what peers and strangers cause. Each event is written a few times a minute for each
 * subject; the rest comes as one line with `suppressed`, how many there were, when something is logged after that minute.
 */
export function calmLog(inner: Log, nowMs: () => number): Log {
  // In the order in which they end.
  const windows = new Map<string, Window>();
  const endWindows = (now: number): void => {
    for (const [key, window] of windows) {
      if (window.endMs > now) return;
      windows.delete(key);
      const { level, event, last, suppressed } = window;
      if (suppressed > 0) inner[level](event, { ...last, suppressed });
    }
  };
  const at =
    (level: Level) =>
    (event: string, fields: Fields = {}): void => {
      const now = nowMs();
      endWindows(now);
      const field = SUBJECT_FIELDS.find((name) => fields[name] !== undefined);
      const subject = field === undefined ? "" : String(fields[field]);
      const own = `${event} ${subject}`;
      const key = windows.has(own) || windows.size < SUBJECTS_MAX ? own : event;
      let window = windows.get(key);
      if (window === undefined) {
        window = { level, event, endMs: now + WINDOW_MS, lines: 0, suppressed: 0, last: fields };
        windows.set(key, window);
      }
      window.last = fields;
      if (window.lines < LINES_MAX) {
        window.lines++;
        inner[level](event, fields);
      } else window.suppressed++;
    };
  return {
    debug: (event, fields) => inner.debug(event, fields),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  };
}
