import { lstat } from "node:fs/promises";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Fault } from "../base/fault.ts";
import { HOME_MARKER_NAME } from "../base/home-marker.ts";
import { displayPath } from "../base/paths.ts";
import { DaemonFailure } from "./fault-json.ts";
import { splitLines } from "./lines.ts";
import { findSocket } from "./socket-path.ts";

export interface Upload {
  readonly type: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
}

/**
 * Sends a request to the daemon of `home` and gives the lines of its answer as they come, while the body is
 * still on its way. Leaving early, or `signal`, closes the connection.
 */
export async function* requestLines(
  home: string,
  path: string,
  upload: Upload,
  signal: AbortSignal,
): AsyncGenerator<string, void, void> {
  if (signal.aborted) throw new Fault({ code: "INTERRUPTED" });
  const socketPath = await findSocket(home);
  const request = httpRequest({
    socketPath,
    path,
    method: "POST",
    agent: false,
    signal,
    // Without keep-alive the daemon closes as soon as it has answered; if that is in the middle of an upload, our
    // next write fails and takes the answer, which says why, with it (a third of the time, measured).
    headers: { "content-type": upload.type, connection: "keep-alive", ...upload.headers },
  });
  const source: { failure?: unknown } = {};
  try {
    const response = responseTo(request);
    send(request, upload.body, source);
    yield* splitLines(await response);
  } catch (error) {
    if (signal.aborted) throw new Fault({ code: "INTERRUPTED" }, { cause: error });
    if (source.failure !== undefined) throw source.failure;
    throw await connectionFault(home, error);
  } finally {
    request.destroy();
  }
}

function responseTo(request: ClientRequest): Promise<IncomingMessage> {
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.once("response", resolve);
    // Stays for the life of the request: after the response an error of writing is not one of reading.
    request.on("error", reject);
  });
  response.catch(() => {});
  return response;
}

/** Does not wait: the daemon may answer before it has read everything. A failure of the source ends the request. */
function send(request: ClientRequest, body: Upload["body"], source: { failure?: unknown }): void {
  if (body instanceof Uint8Array) {
    request.end(body);
    return;
  }
  const readable = Readable.from(body, { objectMode: false });
  readable.once("error", (error) => {
    source.failure = error;
    request.destroy();
  });
  request.once("close", () => readable.destroy());
  readable.pipe(request);
}

async function connectionFault(home: string, error: unknown): Promise<unknown> {
  const errno = error instanceof Error && "code" in error ? error.code : undefined;
  switch (errno) {
    case "ENOENT":
    case "ENOTDIR":
    case "ECONNREFUSED":
    case "ENOTSOCK":
      return await noDaemon(home);
    case "EACCES":
    case "EPERM":
      return notOurs(home);
    case "ECONNRESET":
    case "EPIPE":
      return daemonGone(error);
    default:
      return error;
  }
}

function notOurs(home: string): Fault {
  const reason = `${home} belongs to another user; run this as that user or as root`;
  return new Fault({ code: "NOT_ALLOWED", reason });
}

/** Nobody listens: because the daemon is stopped, or because this is no home at all. */
async function noDaemon(home: string): Promise<Fault> {
  try {
    await lstat(join(home, displayPath(HOME_MARKER_NAME)));
    return new Fault({ code: "DAEMON_NOT_RUNNING", home });
  } catch (error) {
    const refused = error instanceof Error && "code" in error && error.code === "EACCES";
    return refused ? notOurs(home) : new Fault({ code: "HOME_MISSING", home });
  }
}

/** The connection ended without a result. */
export function daemonGone(cause?: unknown): DaemonFailure {
  const text = "The daemon stopped before it had finished; what was done is kept, run the command again.";
  return new DaemonFailure("DAEMON_GONE", text, { cause });
}
