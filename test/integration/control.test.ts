import { chmod, lstat, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { garbageCollector } from "../../src/adapters/workers/collect-garbage.ts";
import { must } from "../../src/base/assert.ts";
import { Fault } from "../../src/base/fault.ts";
import { HOME_MARKER, HOME_MARKER_NAME } from "../../src/base/home-marker.ts";
import { bytePath } from "../../src/base/paths.ts";
import type { CommandContext, ControlHandlers, ProgressEvent } from "../../src/control/api.ts";
import { controlClient } from "../../src/control/client.ts";
import { type ControlServer, serveControl } from "../../src/control/server.ts";
import { entry, fakeHandlers, SNAPSHOT_ID, snapshotResult, TIME } from "../support/fake-handlers.ts";

let home: string;
let server: ControlServer | undefined;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "cairn-control-"));
  await writeFile(join(home, HOME_MARKER_NAME), HOME_MARKER);
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(home, { recursive: true, force: true });
});

async function serve(changes: Partial<ControlHandlers>): Promise<ControlHandlers> {
  server = await serveControl(fakeHandlers(changes), { home });
  return controlClient(home);
}

function quiet(signal: AbortSignal = new AbortController().signal): CommandContext {
  return { signal, progress: () => {} };
}
const latest = { snapshot: "latest", tags: [], paths: [] };
const everything = { ...latest, recursive: true };
const whole = { tags: [], wait: "safe" as const, excludes: [], oneFileSystem: false };
const stdin = { filename: bytePath(Buffer.from("/dump.sql")), tags: [], wait: "safe" as const };

it("carries paths as bytes, progress and the result", async () => {
  const path = bytePath(Uint8Array.of(0x2f, 0xe9, 0x0a, 0x41));
  let asked: unknown;
  const client = await serve({
    snapshot: async (request, context) => {
      asked = request.paths;
      context.progress({ type: "warning", text: "one" });
      context.progress({ type: "warning", text: "two" });
      for (let bytes = 0; bytes < 1000; bytes++) context.progress({ type: "progress", phase: "read", bytes });
      return snapshotResult({ files: 7 });
    },
  });
  const events: ProgressEvent[] = [];
  const result = await client.snapshot(
    { ...whole, paths: [path] },
    { ...quiet(), progress: (event) => events.push(event) },
  );
  expect(asked).toEqual([path]);
  expect(result.files).toBe(7);
  expect(events).toEqual([
    { type: "warning", text: "one" },
    { type: "warning", text: "two" },
    { type: "progress", phase: "read", bytes: 999 },
  ]);
});

it("shows progress while a command that lists has nothing to list yet", async () => {
  const seen = Promise.withResolvers<void>();
  const client = await serve({
    async *find(_request, context) {
      context.progress({ type: "progress", phase: "fetch", bytes: 1 });
      await seen.promise;
      yield { snapshotId: SNAPSHOT_ID, time: TIME, ...entry("/x") };
      return { snapshots: 1, matches: 1 };
    },
  });
  const request = {
    patterns: [bytePath(Buffer.from("x"))],
    ignoreCase: false,
    snapshots: [],
    tags: [],
    paths: [],
  };
  const found = client.find(request, { ...quiet(), progress: () => seen.resolve() });
  expect((await found.next()).value).toMatchObject({ path: "/x" });
  expect(await found.next()).toEqual({ done: true, value: { snapshots: 1, matches: 1 } });
});

it("throws in the client what the daemon threw", async () => {
  const client = await serve({
    restore: async () => {
      throw new Fault({ code: "SNAPSHOT_AMBIGUOUS", asked: "4f", matches: ["4f1", "4f2"] });
    },
    status: async () => {
      throw new TypeError("a bug");
    },
    async *ls() {
      yield entry("/a");
      throw new Fault({ code: "PEER_BUSY", peer: "till-4" });
    },
  });
  const request = {
    ...latest,
    target: bytePath(Buffer.from("/t")),
    includes: [],
    excludes: [],
    overwrite: "always" as const,
    delete: false,
    dryRun: false,
    partial: false,
  };
  await expect(client.restore(request, quiet())).rejects.toMatchObject({
    name: "Fault",
    detail: { code: "SNAPSHOT_AMBIGUOUS", asked: "4f", matches: ["4f1", "4f2"] },
  });
  await expect(client.status({}, quiet())).rejects.toMatchObject({ name: "DaemonFailure", code: "INTERNAL" });
  const list = client.ls(everything, quiet());
  expect((await list.next()).value).toMatchObject({ path: "/a" });
  await expect(list.next()).rejects.toMatchObject({ detail: { code: "PEER_BUSY", peer: "till-4" } });
});

it("refuses a request of the wrong shape as usage", async () => {
  const client = await serve({});
  const request = { site: "", expiresMs: 1, uses: 1 };
  await expect(client.invite(request, quiet())).rejects.toMatchObject({ detail: { code: "USAGE" } });
  const { socketPath } = must(server, "server");
  const posted = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const options = {
      socketPath,
      path: "/v1/invite",
      method: "POST",
      headers: { "content-type": "application/json" },
    };
    const asking = httpRequest(options, async (response) => {
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(await response.toArray()).toString() });
    });
    asking.on("error", reject).end(JSON.stringify({ ...request, site: "a", surprise: 1 }));
  });
  expect(posted.status).toBe(400);
  expect(JSON.parse(posted.text)).toMatchObject({ type: "error", error: { code: "USAGE" } });
});

it("makes a lister wait for a slow reader, and ends it when the reader leaves", async () => {
  let made = 0;
  const ended = Promise.withResolvers<void>();
  const client = await serve({
    async *ls() {
      try {
        for (; made < 10_000_000; made++) yield entry(`/a/${made}`);
        return { snapshotId: SNAPSHOT_ID, time: TIME, entries: made, bytes: 0 };
      } finally {
        ended.resolve();
      }
    },
  });
  const list = client.ls(everything, quiet());
  expect((await list.next()).value).toMatchObject({ path: "/a/0" });
  let before = -1;
  while (before !== made) {
    before = made;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  // What the socket's and the streams' buffers hold, at 250 bytes a line.
  expect(made).toBeLessThan(20_000);
  await list.return({ snapshotId: "", time: TIME, entries: 0, bytes: 0 });
  await ended.promise;
});

it("aborts the handler when the client is interrupted", async () => {
  const aborted = Promise.withResolvers<unknown>();
  const begun = Promise.withResolvers<void>();
  const client = await serve({
    snapshot: (_request, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          aborted.resolve(signal.reason);
          reject(signal.reason);
        });
        begun.resolve();
      }),
  });
  const interrupt = new AbortController();
  const running = client.snapshot(
    { ...whole, paths: [bytePath(Buffer.from("/a"))] },
    quiet(interrupt.signal),
  );
  running.catch(() => {});
  await begun.promise;
  interrupt.abort();
  await expect(running).rejects.toMatchObject({ detail: { code: "INTERRUPTED" } });
  expect(await aborted.promise).toMatchObject({ detail: { code: "INTERRUPTED" } });
});

it("does not abort a handler whose client waits to the end", async () => {
  let signal: AbortSignal | undefined;
  const client = await serve({
    snapshots: async (_request, context) => {
      signal = context.signal;
      return { snapshots: [] };
    },
  });
  await client.snapshots({ tags: [], paths: [] }, quiet());
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(must(signal, "signal").aborted).toBe(false);
});

it("gives back bytes as they are, however they were cut", async () => {
  const parts = [new Uint8Array(0), Buffer.alloc(3_000_000, 7), Uint8Array.of(0, 255, 10)];
  const client = await serve({
    async *cat() {
      yield* parts;
      return { snapshotId: SNAPSHOT_ID, time: TIME, bytes: 3_000_003 };
    },
  });
  const chunks: Uint8Array[] = [];
  const bytes = client.cat({ ...latest, path: bytePath(Buffer.from("/f")) }, quiet());
  for await (const chunk of bytes) chunks.push(chunk);
  expect(Buffer.concat(chunks).equals(Buffer.concat(parts))).toBe(true);
});

async function* zeros(chunks: number, onChunk: (index: number) => void = () => {}) {
  for (let i = 0; i < chunks; i++) {
    onChunk(i);
    yield Buffer.alloc(64 * 1024, i);
  }
}

it("streams 200 MB of stdin in bounded memory", async () => {
  const client = await serve({});
  const collect = garbageCollector();
  const heldBytes = () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  let peak = 0;
  const before = heldBytes();
  const body = zeros(3200, (index) => {
    if (index % 100 === 99) peak = Math.max(peak, heldBytes());
  });
  const result = await client.snapshotStdin(stdin, quiet(), body);
  expect(result.bytesRead).toBe(3200 * 64 * 1024);
  // Client and server are this one process.
  expect(peak - before).toBeLessThan(32 * 1024 * 1024);
});

it("stops reading stdin while the handler does not", async () => {
  let sent = 0;
  const go = Promise.withResolvers<void>();
  const client = await serve({
    async snapshotStdin(_request, _context, body) {
      await go.promise;
      let bytesRead = 0;
      for await (const chunk of body) bytesRead += chunk.length;
      return snapshotResult({ bytesRead });
    },
  });
  const running = client.snapshotStdin(
    stdin,
    quiet(),
    zeros(1000, () => sent++),
  );
  let before = -1;
  while (before !== sent) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(sent).toBeLessThan(100);
  go.resolve();
  expect((await running).bytesRead).toBe(1000 * 64 * 1024);
});

it("never takes half a stdin for a whole one", async () => {
  const outcome = Promise.withResolvers<unknown>();
  const arrived = Promise.withResolvers<number>();
  const client = await serve({
    async snapshotStdin(_request, _context, body) {
      try {
        for await (const chunk of body) arrived.resolve(chunk.length);
        outcome.resolve("ended");
      } catch (error) {
        outcome.resolve(error);
        throw error;
      }
      return snapshotResult();
    },
  });
  async function* failing() {
    yield Buffer.alloc(100_000);
    await arrived.promise;
    throw new Fault({ code: "SOURCE_UNREADABLE", path: "stdin", errno: "EIO" });
  }
  const sending = client.snapshotStdin(stdin, quiet(), failing());
  await expect(sending).rejects.toMatchObject({ detail: { code: "SOURCE_UNREADABLE" } });
  expect(await outcome.promise).toMatchObject({ detail: { code: "INTERRUPTED" } });
});

it("says why when a handler gives up in the middle of stdin", async () => {
  const client = await serve({
    async snapshotStdin(_request, _context, body) {
      for await (const chunk of body) {
        void chunk;
        throw new Fault({ code: "DISK_FULL", where: "/spool" });
      }
      return snapshotResult();
    },
  });
  const sending = client.snapshotStdin(stdin, quiet(), zeros(5000));
  await expect(sending).rejects.toMatchObject({ detail: { code: "DISK_FULL", where: "/spool" } });
});

it("tells clients under way when the daemon stops, and leaves no socket", async () => {
  const begun = Promise.withResolvers<void>();
  const client = await serve({
    verify: (_request, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
        begun.resolve();
      }),
  });
  const running = client.verify({ readData: false }, quiet());
  running.catch(() => {});
  await begun.promise;
  await must(server, "server").close();
  await expect(running).rejects.toMatchObject({ detail: { code: "INTERRUPTED" } });
  expect(await readdir(home)).toEqual([HOME_MARKER_NAME]);
  await expect(client.status({}, quiet())).rejects.toMatchObject({ detail: { code: "DAEMON_NOT_RUNNING" } });
});

it("an answer that is cut off is a failure", async () => {
  const raw = createServer((socket) => {
    socket.once("data", () => {
      socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    });
  });
  await new Promise<void>((resolve) => raw.listen(join(home, "control.sock"), resolve));
  const asking = controlClient(home).status({}, quiet());
  await expect(asking).rejects.toMatchObject({ name: "DaemonFailure", code: "DAEMON_GONE" });
  await new Promise((resolve) => raw.close(resolve));
});

it("is open to this user only", async () => {
  await serve({});
  const stat = await lstat(must(server, "server").socketPath);
  expect(stat.isSocket() && (stat.mode & 0o777) === 0o600).toBe(true);
});

it("refuses a home in which others could put a socket of their own", async () => {
  await chmod(home, 0o777);
  await expect(serveControl(fakeHandlers(), { home })).rejects.toMatchObject({
    detail: { code: "NOT_ALLOWED" },
  });
});

it("takes the place of a socket that a killed daemon left", async () => {
  const path = join(home, "control.sock");
  const killed = await serveControl(fakeHandlers(), { home });
  const client = await serve({});
  expect((await client.status({}, quiet())).node.name).toBe("till-3");
  expect(killed.socketPath).toBe(path);
});

it("serves a home whose path is too long for a socket", async () => {
  const long = join(home, "x".repeat(100));
  const runtime = join(home, "run");
  await mkdir(long, { mode: 0o700 });
  await mkdir(runtime);
  const longServer = await serveControl(fakeHandlers(), {
    home: long,
    environment: { XDG_RUNTIME_DIR: runtime },
  });
  expect(longServer.socketPath.length).toBeLessThan(107);
  expect((await controlClient(long).status({}, quiet())).node.name).toBe("till-3");
  await longServer.close();
  expect(await readdir(runtime)).toEqual([]);
  expect(await readdir(long)).toEqual([]);
});

it("does not use a runtime directory that somebody else can reach", async () => {
  const long = join(home, "x".repeat(100));
  const runtime = join(home, "run");
  await mkdir(long, { mode: 0o700 });
  await mkdir(runtime);
  const options = { home: long, environment: { XDG_RUNTIME_DIR: runtime } };
  const first = await serveControl(fakeHandlers(), options);
  await chmod(join(first.socketPath, ".."), 0o755);
  await expect(serveControl(fakeHandlers(), options)).rejects.toMatchObject({
    detail: { code: "NOT_ALLOWED" },
  });
  await first.close();
});

it("tells a home without a daemon from a directory that is none", async () => {
  const status = (of: string) => controlClient(of).status({}, quiet());
  await expect(status(home)).rejects.toMatchObject({ detail: { code: "DAEMON_NOT_RUNNING", home } });
  await expect(status(tmpdir())).rejects.toMatchObject({ detail: { code: "HOME_MISSING" } });
  await expect(status(join(home, "none"))).rejects.toMatchObject({ detail: { code: "HOME_MISSING" } });
});
