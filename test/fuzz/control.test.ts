import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import type { SeededRng } from "../../sim/rng.ts";
import { must } from "../../src/base/assert.ts";
import { fromUtf8, toBase64Url, utf8 } from "../../src/base/bytes.ts";
import { HOME_MARKER, HOME_MARKER_NAME } from "../../src/base/home-marker.ts";
import { COMMANDS, type CommandShape } from "../../src/control/api.ts";
import { controlClient } from "../../src/control/client.ts";
import { commandPath, REQUEST_HEADER } from "../../src/control/lines.ts";
import { type ControlServer, serveControl } from "../../src/control/server.ts";
import { fakeHandlers } from "../support/fake-handlers.ts";
import { campaign, describeTally, MESSAGES_PER_PROTOCOL, messagesOf } from "./campaign.ts";
import { withBytesChanged } from "./hostile-cbor.ts";
import { drawerOf } from "./schema-values.ts";

// The control socket: whoever may use it may do all that the daemon can, so this is about mistakes, not about enemies.

const SHAPES: readonly (readonly [string, CommandShape])[] = Object.entries(COMMANDS);
const DRAWERS = SHAPES.map(([command, { request }]) => ({ command, request, draw: drawerOf(request) }));

const STRANGE = [
  '""',
  "null",
  "-1",
  "1e999",
  "9007199254740993",
  "[]",
  "{}",
  '"\\u0000"',
  '"\\ud800"',
  "[[[[[[]]]]]]",
  '{"__proto__":{}}',
];

/** JSON text of a request that is right, or was. */
function requestText(rng: SeededRng, draw: (rng: SeededRng) => unknown): string {
  const text = JSON.stringify(draw(rng));
  if (rng.chance(0.2)) return text;
  if (rng.chance(0.4)) return fromLossy(withBytesChanged(rng, utf8(text)));
  // One of its values is another one.
  const values = [...text.matchAll(/"(?:[^"\\]|\\.)*"|[-\d.e]+|true|false|\[\]|\{\}/g)];
  if (values.length === 0) return rng.pick(STRANGE);
  const value = rng.pick(values);
  return text.slice(0, value.index) + rng.pick(STRANGE) + text.slice(value.index + value[0].length);
}

const fromLossy = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

test("any request is one of its schema or is told what is wrong with it", async () => {
  let index = 0;
  const counts = { valid: 0, invalid: 0, noJson: 0 };
  const tally = await campaign(
    "control requests",
    MESSAGES_PER_PROTOCOL,
    [],
    (rng) => utf8(requestText(rng, must(DRAWERS[index++ % DRAWERS.length], "command").draw)),
    (message) => {
      const { request } = must(DRAWERS[(index - 1) % DRAWERS.length], "command");
      let raw: unknown;
      try {
        raw = JSON.parse(fromUtf8(message));
      } catch {
        counts.noJson++;
        return;
      }
      const parsed = request.safeParse(raw);
      if (parsed.success) {
        counts.valid++;
        z.encode(request, parsed.data);
      } else {
        counts.invalid++;
        if (z.prettifyError(parsed.error).length === 0) throw new Error("nothing is said");
      }
    },
  );
  console.log(describeTally("control requests", tally), counts);
  expect(Math.min(counts.valid, counts.invalid, counts.noJson)).toBeGreaterThan(MESSAGES_PER_PROTOCOL / 50);
});

let home: string;
let server: ControlServer;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "cairn-fuzz-"));
  await writeFile(join(home, HOME_MARKER_NAME), HOME_MARKER);
  server = await serveControl(fakeHandlers({}), { home });
});
afterAll(async () => {
  await server.close();
  await rm(home, { recursive: true, force: true });
});

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

async function post(path: string, headers: Record<string, string>, body: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const options = { socketPath: server.socketPath, path, method: "POST", agent };
    const sent = httpRequest({ ...options, headers }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () => resolve(Buffer.concat(parts).toString()));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const lastError = z.looseObject({ error: z.looseObject({ code: z.string() }) });
const lastLine = z.union([
  z.looseObject({ type: z.literal("result") }),
  z.looseObject({ type: z.literal("error"), error: z.looseObject({ code: z.string() }) }),
]);

test("the server answers every one of them with a result or an error that has a code", {
  timeout: 120_000,
}, async () => {
  const codes = new Map<string, number>();
  const tally = await campaign(
    "control server",
    messagesOf(4000),
    [],
    (rng) => rng.bytes(8),
    async (_, rng) => {
      const { command, draw } = rng.pick(DRAWERS);
      const text = requestText(rng, draw);
      const isStdin = command === "snapshotStdin";
      const headers: Record<string, string> = isStdin
        ? {
            "content-type": "application/octet-stream",
            [REQUEST_HEADER]: toBase64Url(rng.chance(0.9) ? utf8(text) : rng.bytes(20)),
          }
        : { "content-type": rng.chance(0.95) ? "application/json" : "text/plain" };
      const answer = await post(commandPath(command), headers, isStdin ? "contents" : text);
      const line = lastLine.parse(JSON.parse(must(answer.trimEnd().split("\n").at(-1), "line")));
      const what = "error" in line ? lastError.parse(line).error.code : "result";
      codes.set(what, (codes.get(what) ?? 0) + 1);
    },
  );
  console.log(describeTally("control server", tally), codes);
  // Nothing of it is a failure of ours.
  expect([...codes.keys()].filter((code) => !["result", "USAGE", "UNSUPPORTED"].includes(code))).toEqual([]);
});

test("bytes that are no HTTP close their connection alone", async () => {
  const rng = { bytes: (length: number) => new Uint8Array(length).fill(0x41) };
  for (let index = 0; index < 200; index++) {
    const socket = connect(server.socketPath);
    socket.on("error", () => {});
    socket.end(
      index % 2 === 0
        ? rng.bytes(2000)
        : "POST /v1/status HTTP/1.1\r\ncontent-length: 99999999999999\r\n\r\n",
    );
    await new Promise((resolve) => socket.once("close", resolve).resume());
  }
  const client = controlClient(home);
  await client.status({}, { signal: new AbortController().signal, progress: () => {} });
});
