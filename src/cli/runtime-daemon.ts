import { writeSync } from "node:fs";
import { pino } from "pino";
import { createFileTarget, createFileTree } from "../adapters/files/index.ts";
import { returnFreedMemory } from "../adapters/freed-memory.ts";
import { lockHome } from "../adapters/home/index.ts";
import { guardProcess, parseDialAddress } from "../adapters/libp2p/index.ts";
import { createHookRunner, openPolicyFile } from "../adapters/policy/index.ts";
import { openFileShardStore, openFileSpool, openLevelMetaStore } from "../adapters/store/index.ts";
import { systemClock, systemRng } from "../adapters/system.ts";
import { createTreeWatcher } from "../adapters/watch/index.ts";
import { createWorkerCompute } from "../adapters/workers/index.ts";
import { Fault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS, MINUTE_MS } from "../base/units.ts";
import { nodeHandlers } from "../control/node-handlers.ts";
import { serveControl } from "../control/server.ts";
import { deriveOwnerKeys } from "../crypto/index.ts";
import { signerFromSeed } from "../crypto/sign.ts";
import { FORMAT_VERSIONS, Roster } from "../membership/index.ts";
import {
  DEFAULT_SIZES,
  NAMESPACE,
  Node,
  parseUpkeep,
  type ScrubInit,
  schedulerOf,
  tidierOf,
} from "../node/index.ts";
import { prefixed } from "../ports/index.ts";
import type { DaemonOptions } from "./local-operations.ts";
import { formatVersions } from "./runtime-formats.ts";
import { type HomeKeys, type HomeSettings, homePaths, readHome, writeSettings } from "./runtime-home.ts";
import { dropHandedOver } from "./runtime-joining.ts";
import { chooseListen } from "./runtime-listen.ts";
import { type DaemonNetwork, guestNetwork, memberNetwork } from "./runtime-network.ts";
import { followRotations } from "./runtime-rotation.ts";
import { programVersion } from "./version.ts";

/** Runs a home's node until `signal` asks it to stop. Everything that was opened is closed, in reverse. */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  process.umask(0o077);
  const { home } = options;
  readHome(home); // says what is missing before anything is locked
  const lock = lockHome(home);
  const log = pinoLog();
  const stop = new AbortController();
  const closers: (() => unknown)[] = [() => lock.release()];
  let failure: { error: unknown } | undefined;
  const removeGuard = guardProcess({
    log,
    onFatal: (error) => {
      failure ??= { error };
      stop.abort();
    },
  });
  closers.push(removeGuard);
  const onStop = (): void => stop.abort();
  options.signal.addEventListener("abort", onStop, { once: true });
  try {
    dropHandedOver(home);
    const { settings, keys } = await currentHome(home, options);
    await startNode(home, settings, keys, log, closers, onStop);
    await stopped(stop.signal);
    log.info("stopping");
  } finally {
    options.signal.removeEventListener("abort", onStop);
    for (const close of closers.reverse()) await close();
  }
  if (failure !== undefined) throw failure.error;
  log.info("stopped");
}

async function currentHome(
  home: string,
  options: DaemonOptions,
): Promise<{ settings: HomeSettings; keys: HomeKeys }> {
  const { settings, keys } = readHome(home);
  const changed: HomeSettings = {
    ...settings,
    ...(options.listen === undefined ? {} : { listen: await chooseListen(options.listen) }),
    ...(options.announce === undefined
      ? {}
      : { announce: options.announce.map((text) => parseDialAddress(text).address) }),
    ...(options.spoolMaxBytes === undefined ? {} : { spoolMaxBytes: options.spoolMaxBytes }),
    ...(Object.keys(options.repairRate).length === 0
      ? {}
      : { upkeep: { ...settings.upkeep, ...options.repairRate } }),
  };
  // What cannot be used is not written down: the next start would fail on it.
  parseUpkeep(changed.upkeep ?? {});
  if (JSON.stringify(changed) !== JSON.stringify(settings)) await writeSettings(home, changed);
  return { settings: changed, keys };
}

async function startNode(
  home: string,
  settings: HomeSettings,
  given: HomeKeys,
  log: Log,
  closers: (() => unknown)[],
  onStop: () => void,
): Promise<void> {
  const paths = homePaths(home);
  const meta = await openLevelMetaStore(paths.meta, log);
  closers.push(() => meta.close());
  const roster = await Roster.open({ store: prefixed(meta, NAMESPACE.membership), clock: systemClock });
  if (roster === undefined) throw new Fault({ code: "HOME_MISSING", home });
  const followed = await followRotations(home, { roster, keys: given, log });
  closers.push(followed.stop);
  const { keys } = followed;
  const shards = await openFileShardStore({
    directory: paths.shards,
    index: prefixed(meta, NAMESPACE.shards),
    capacityBytes: settings.capacityBytes,
    log,
    ...(settings.reserveBytes === undefined ? {} : { reserve: { bytes: settings.reserveBytes, ratio: 0 } }),
  });
  closers.push(() => shards.close());
  closers.push(returnFreedMemory(log));
  const compute = createWorkerCompute();
  closers.push(() => compute.close());
  const isGuest = settings.readOnly === true;
  const ends = isGuest
    ? await guestNetwork({ settings, keys, log })
    : await memberNetwork({ settings, keys, roster, log }, paths.libp2p);
  closers.push(() => ends.stop());
  const node = await openNode(home, { settings, keys, log, roster, ends, meta, shards, compute });
  await ends.start();
  await node.start();
  closers.push(() => node.stop());
  const scheduler = await schedulerOf(node, {
    file: openPolicyFile(paths.policy),
    hooks: createHookRunner(),
    watcher: createTreeWatcher(createFileTree()),
  });
  await scheduler.start();
  closers.push(() => scheduler.stop());
  const tidier = tidierOf(node, scheduler, parseUpkeep(settings.upkeep ?? {}));
  tidier.start();
  closers.push(() => tidier.stop());
  const control = await serveControl(
    nodeHandlers(node, { version: programVersion(), stop: onStop, scheduler, tidier }),
    { home },
  );
  closers.push(() => control.close());
  const { self } = ends.network;
  log.info("ready", {
    peerId: self,
    listen: ends.listenAddresses(),
    socket: control.socketPath,
    pid: process.pid,
  });
}

async function openNode(
  home: string,
  parts: {
    settings: HomeSettings;
    keys: HomeKeys;
    log: Log;
    roster: Roster;
    ends: DaemonNetwork;
    meta: Awaited<ReturnType<typeof openLevelMetaStore>>;
    shards: Awaited<ReturnType<typeof openFileShardStore>>;
    compute: ReturnType<typeof createWorkerCompute>;
  },
): Promise<Node> {
  const { settings, keys, log, roster, ends, meta, shards, compute } = parts;
  const { network, directory } = ends;
  const spool = await openFileSpool({ directory: homePaths(home).spool });
  const { administratorSeed } = keys;
  const formats = formatVersions(process.env);
  if (formats !== FORMAT_VERSIONS) log.warn("formats-rehearsed", { ...formats });
  return Node.open(
    {
      clock: systemClock,
      rng: systemRng,
      network,
      directory,
      meta,
      shards,
      spool,
      compute,
      tree: createFileTree(),
      openTarget: (path) => createFileTarget(path),
      log,
    },
    roster,
    {
      keys: deriveOwnerKeys(keys.root),
      signer: signerFromSeed(keys.nodeSeed),
      ...(administratorSeed === undefined ? {} : { administrator: signerFromSeed(administratorSeed) }),
      slot: keys.slot,
      sizes: DEFAULT_SIZES,
      host: settings.host,
      program: `cairn ${programVersion()}`,
      formats,
      privileged: process.getuid?.() === 0,
      guest: settings.readOnly === true,
      ...(settings.spoolMaxBytes === undefined ? {} : { spoolMaxBytes: settings.spoolMaxBytes }),
      scrub: scrubInit(settings.scrub),
      upkeep: parseUpkeep(settings.upkeep ?? {}),
      localOffsetMs: () => -new Date().getTimezoneOffset() * MINUTE_MS,
    },
  );
}

function scrubInit({ periodDays, diskShare }: NonNullable<HomeSettings["scrub"]> = {}): ScrubInit {
  return {
    ...(periodDays === undefined ? {} : { periodMs: Math.ceil(periodDays * DAY_MS) }),
    ...(diskShare === undefined ? {} : { diskShare }),
  };
}

async function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** JSON lines on standard output; a reader that went away does not stop the daemon. */
function pinoLog(): Log {
  const stream = {
    write(line: string): void {
      try {
        writeSync(1, line);
      } catch (error) {
        if (!/EPIPE|EAGAIN/.test(messageOf(error))) throw error;
      }
    },
  };
  const logger = pino(
    { level: process.env["CAIRN_LOG_LEVEL"] ?? "info", base: null, timestamp: pino.stdTimeFunctions.isoTime },
    stream,
  );
  const at =
    (level: "debug" | "info" | "warn" | "error") =>
    (event: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      logger[level]({ event, ...fields });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
