import { toBase64 } from "../base/bytes.ts";
import type { CommandContext } from "./api.ts";
import { faultToJson } from "./fault-json.ts";
import { DATA_BYTES_MAX, errorLine, toLine } from "./lines.ts";
import { ProgressMailbox } from "./progress-mailbox.ts";

/*
 * What a handler does, as the lines of an answer. These generators run as fast as their reader: a stream made
 * of one stops the handler when the socket is full, and leaving it early ends the handler.
 */

/** Of a command with one result: progress while it works, then the result. */
export async function* answerOnce<R>(
  run: (context: CommandContext) => Promise<R>,
  signal: AbortSignal,
): AsyncGenerator<string, void, void> {
  const mailbox = new ProgressMailbox();
  try {
    const running = run({ signal, progress: (event) => mailbox.post(event) });
    const result = yield* progressUntil(running, mailbox);
    yield toLine({ type: "result", result });
  } catch (error) {
    yield errorLine(faultToJson(error));
  }
}

/** Of a command that lists: its entries one by one, then the summary. `lines` says how an entry is written. */
export async function* answerMany<T, R>(
  run: (context: CommandContext) => AsyncGenerator<T, R, void>,
  signal: AbortSignal,
  lines: (item: T) => Iterable<string>,
): AsyncGenerator<string, void, void> {
  const mailbox = new ProgressMailbox();
  try {
    await using entries = run({ signal, progress: (event) => mailbox.post(event) });
    for (;;) {
      const next = yield* progressUntil(entries.next(), mailbox);
      if (next.done === true) {
        yield toLine({ type: "result", result: next.value });
        return;
      }
      yield* lines(next.value);
    }
  } catch (error) {
    yield errorLine(faultToJson(error));
  }
}

async function* progressUntil<R>(
  running: Promise<R>,
  mailbox: ProgressMailbox,
): AsyncGenerator<string, R, void> {
  let settled = false;
  const settle = (): void => {
    settled = true;
    mailbox.wake();
  };
  running.then(settle, settle);
  // Not a race of both: `running` lives as long as the command, and every race would leave its closures in it.
  while (!settled) {
    await mailbox.arrival();
    for (const event of mailbox.take()) yield toLine(event);
  }
  return await running;
}

export function* itemLines(item: unknown): Iterable<string> {
  yield toLine({ type: "item", item });
}

export function* dataLines(bytes: Uint8Array): Iterable<string> {
  for (let at = 0; at < bytes.length; at += DATA_BYTES_MAX) {
    yield toLine({ type: "data", base64: toBase64(bytes.subarray(at, at + DATA_BYTES_MAX)) });
  }
}
