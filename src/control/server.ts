import { chmod, lstat } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { dirname } from "node:path";
import { Readable } from "node:stream";
import Fastify, { type FastifyReply, type FastifyRequest } from "fastify";
import type { z } from "zod";
import { fromBase64Url, fromUtf8 } from "../base/bytes.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import { answerMany, answerOnce, dataLines, itemLines } from "./answer.ts";
import { COMMANDS, type CommandContext, type ControlHandlers } from "./api.ts";
import { faultToJson } from "./fault-json.ts";
import { issuesText } from "./issues-text.ts";
import { commandPath, errorLine, REQUEST_HEADER } from "./lines.ts";
import { prepareSocket, removeSocket } from "./socket-path.ts";

/** Of a request other than the body of `snapshotStdin`: as many paths as a command line can hold. */
const REQUEST_BYTES_MAX = 64 * 1024 * 1024;
/** Clients at a time: a dashboard and a few terminals and timers. */
const CONNECTIONS_MAX = 128;
/** How long a stopping daemon waits for its clients to take their last line. */
const CLOSE_GRACE_MS = 5000;

export interface ControlServer {
  readonly socketPath: string;
  /** Aborts what is under way, tells the clients so, and removes the socket. */
  close(): Promise<void>;
}

export interface ControlServerOptions {
  /** Whose lock the caller holds. */
  readonly home: string;
  readonly environment?: NodeJS.ProcessEnv;
}

/**
 * Serves `handlers` on the home's socket to processes of the same user (and root). Throws NOT_ALLOWED when
 * others could put a socket of their own in its place.
 */
export async function serveControl(
  handlers: ControlHandlers,
  options: ControlServerOptions,
): Promise<ControlServer> {
  const socketPath = await prepareSocket(options.home, options.environment ?? process.env);
  await refuseSharedDirectory(dirname(socketPath));
  const stopping = new AbortController();
  const app = controlApp(handlers, stopping.signal);
  await app.listen({ path: socketPath });
  // Before this the mode comes from the umask, and connecting needs the write bit that umasks take from others.
  await chmod(socketPath, 0o600);
  return {
    socketPath,
    async close() {
      stopping.abort(new Fault({ code: "INTERRUPTED" }));
      const cut = setTimeout(() => app.server.closeAllConnections(), CLOSE_GRACE_MS);
      await app.close().finally(() => clearTimeout(cut));
      await removeSocket(options.home, socketPath);
    },
  };
}

async function refuseSharedDirectory(directory: string): Promise<void> {
  const { mode } = await lstat(directory);
  if ((mode & 0o022) === 0) return;
  const reason = `other users may write to ${directory}; "chmod 700" it`;
  throw new Fault({ code: "NOT_ALLOWED", reason });
}

function controlApp(handlers: ControlHandlers, stopping: AbortSignal) {
  const app = Fastify({
    bodyLimit: REQUEST_BYTES_MAX,
    // An upload takes as long as whatever writes it; Node's own default would cut it after 5 minutes.
    requestTimeout: 0,
    forceCloseConnections: "idle",
  });
  app.server.maxConnections = CONNECTIONS_MAX;
  // The stream itself: it is read as slowly as the handler wants it.
  app.addContentTypeParser("application/octet-stream", (_request, payload, done) => done(null, payload));
  app.setErrorHandler((error, _request, reply) => {
    void reply
      .code(400)
      .type("application/x-ndjson")
      .send(errorLine(faultToJson(asRequestFault(error))));
  });

  const respond = (
    reply: FastifyReply,
    answer: (signal: AbortSignal) => AsyncGenerator<string, void, void>,
  ): FastifyReply => {
    const gone = new AbortController();
    reply.raw.once("close", () => {
      if (!reply.raw.writableFinished) gone.abort(new Fault({ code: "INTERRUPTED" }));
    });
    const lines = Readable.from(answer(AbortSignal.any([gone.signal, stopping])));
    return reply.type("application/x-ndjson").send(lines);
  };
  const once = <S extends z.ZodType, R>(
    command: keyof ControlHandlers,
    schema: S,
    handler: (request: z.output<S>, context: CommandContext) => Promise<R>,
  ) =>
    app.post(commandPath(command), (request, reply) => {
      const decoded = decodeRequest(schema, request.body);
      return respond(reply, (signal) =>
        answerOnce((context) => handler.call(handlers, decoded, context), signal),
      );
    });
  const many = <S extends z.ZodType, T, R>(
    command: keyof ControlHandlers,
    schema: S,
    handler: (request: z.output<S>, context: CommandContext) => AsyncGenerator<T, R, void>,
    lines: (item: T) => Iterable<string>,
  ) =>
    app.post(commandPath(command), (request, reply) => {
      const decoded = decodeRequest(schema, request.body);
      return respond(reply, (signal) =>
        answerMany((context) => handler.call(handlers, decoded, context), signal, lines),
      );
    });

  once("status", COMMANDS.status.request, handlers.status);
  once("peers", COMMANDS.peers.request, handlers.peers);
  once("invite", COMMANDS.invite.request, handlers.invite);
  once("remove", COMMANDS.remove.request, handlers.remove);
  once("siteMove", COMMANDS.siteMove.request, handlers.siteMove);
  once("adminList", COMMANDS.adminList.request, handlers.adminList);
  once("adminKey", COMMANDS.adminKey.request, handlers.adminKey);
  once("adminAdd", COMMANDS.adminAdd.request, handlers.adminAdd);
  once("adminRemove", COMMANDS.adminRemove.request, handlers.adminRemove);
  once("adminThreshold", COMMANDS.adminThreshold.request, handlers.adminThreshold);
  once("adminPending", COMMANDS.adminPending.request, handlers.adminPending);
  once("adminVote", COMMANDS.adminVote.request, handlers.adminVote);
  once("keyBasis", COMMANDS.keyBasis.request, handlers.keyBasis);
  once("keyRotate", COMMANDS.keyRotate.request, handlers.keyRotate);
  once("quota", COMMANDS.quota.request, handlers.quota);
  once("adminConfirm", COMMANDS.adminConfirm.request, handlers.adminConfirm);
  once("snapshot", COMMANDS.snapshot.request, handlers.snapshot);
  once("snapshotSet", COMMANDS.snapshotSet.request, handlers.snapshotSet);
  once("usage", COMMANDS.usage.request, handlers.usage);
  once("forget", COMMANDS.forget.request, handlers.forget);
  once("log", COMMANDS.log.request, handlers.log);
  once("prune", COMMANDS.prune.request, handlers.prune);
  once("release", COMMANDS.release.request, handlers.release);
  once("pin", COMMANDS.pin.request, handlers.pin);
  once("unmark", COMMANDS.unmark.request, handlers.unmark);
  once("policyShow", COMMANDS.policyShow.request, handlers.policyShow);
  once("policySet", COMMANDS.policySet.request, handlers.policySet);
  once("snapshots", COMMANDS.snapshots.request, handlers.snapshots);
  once("restore", COMMANDS.restore.request, handlers.restore);
  once("verify", COMMANDS.verify.request, handlers.verify);
  once("scrub", COMMANDS.scrub.request, handlers.scrub);
  once("maintenance", COMMANDS.maintenance.request, handlers.maintenance);
  once("drain", COMMANDS.drain.request, handlers.drain);
  once("audit", COMMANDS.audit.request, handlers.audit);
  once("plan", COMMANDS.plan.request, handlers.plan);
  once("repair", COMMANDS.repair.request, handlers.repair);
  once("shutdown", COMMANDS.shutdown.request, handlers.shutdown);
  many("ls", COMMANDS.ls.request, handlers.ls, itemLines);
  many("find", COMMANDS.find.request, handlers.find, itemLines);
  many("diff", COMMANDS.diff.request, handlers.diff, itemLines);
  many("shards", COMMANDS.shards.request, handlers.shards, itemLines);
  many("cat", COMMANDS.cat.request, handlers.cat, dataLines);
  app.post(commandPath("snapshotStdin"), { bodyLimit: Number.MAX_SAFE_INTEGER }, (request, reply) => {
    const decoded = decodeRequest(COMMANDS.snapshotStdin.request, requestInHeader(request));
    return respond(reply, (signal) =>
      answerOnce((context) => handlers.snapshotStdin(decoded, context, uploadBody(request.raw)), signal),
    );
  });
  return app;
}

/** What went wrong before a handler had the request is the client's doing: no JSON, too long, of an unknown type. */
function asRequestFault(error: unknown): Fault {
  if (isFault(error)) return error;
  return new Fault({ code: "USAGE", reason: `Not a valid request: ${messageOf(error)}` }, { cause: error });
}

function decodeRequest<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new Fault({ code: "USAGE", reason: `Not a valid request: ${issuesText(parsed.error)}.` });
}

function requestInHeader(request: FastifyRequest): unknown {
  const header = request.headers[REQUEST_HEADER];
  const bytes = typeof header === "string" ? fromBase64Url(header) : undefined;
  if (bytes === undefined)
    throw new Fault({ code: "USAGE", reason: `The ${REQUEST_HEADER} header is missing.` });
  return JSON.parse(fromUtf8(bytes));
}

/**
 * The uploaded bytes. A client that goes away makes it throw, so that half a stream is never taken for a whole
 * one. When the handler stops reading early, the rest is thrown away until the client has seen why.
 */
async function* uploadBody(raw: IncomingMessage): AsyncGenerator<Uint8Array, void, void> {
  try {
    for await (const chunk of raw.iterator({ destroyOnReturn: false })) yield chunk;
    if (!raw.complete) throw new Fault({ code: "INTERRUPTED" });
  } catch (error) {
    throw new Fault({ code: "INTERRUPTED" }, { cause: error });
  } finally {
    raw.resume();
  }
}
