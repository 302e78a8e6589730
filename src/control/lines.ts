import { z } from "zod";
import { type FaultJson, faultJson } from "./fault-json.ts";
import { progressEvent } from "./results.ts";

/*
 * Every answer is a stream of JSON lines: any number of progress, warning, item and data lines, then exactly one
 * `result` or `error`. An answer that ends without one was cut off.
 */
export const answerLine = z.union([
  progressEvent,
  z.object({ type: z.literal("item"), item: z.unknown() }),
  z.object({ type: z.literal("data"), base64: z.string() }),
  z.object({ type: z.literal("result"), result: z.unknown() }),
  z.object({ type: z.literal("error"), ...faultJson.shape }),
]);
export type AnswerLine = z.infer<typeof answerLine>;

export const toLine = (line: AnswerLine): string => `${JSON.stringify(line)}\n`;
export const errorLine = (fault: FaultJson): string => toLine({ type: "error", ...fault });

/** Of file bytes in one line. */
export const DATA_BYTES_MAX = 1024 * 1024;
/** A result that lists 10,000 paths three times over is the longest line there is. */
export const LINE_BYTES_MAX = 256 * 1024 * 1024;

/** Where `snapshotStdin` carries its request, as base64url of JSON: the body is the file. */
export const REQUEST_HEADER = "cairn-request";
/** Node refuses headers of more than 16 KiB in all. */
export const REQUEST_HEADER_BYTES_MAX = 12 * 1024;

export const commandPath = (command: string): string => `/v1/${command}`;

/** Splits a stream into lines, as the reader takes them. */
export async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let rest: string[] = [];
  let restLength = 0;
  for await (const chunk of chunks) {
    const parts = decoder.decode(chunk, { stream: true }).split("\n");
    const tail = parts.pop() ?? "";
    for (const part of parts) {
      yield rest.join("") + part;
      rest = [];
      restLength = 0;
    }
    rest.push(tail);
    restLength += tail.length;
    if (restLength > LINE_BYTES_MAX) throw new Error("the daemon sent a line without end");
  }
}
