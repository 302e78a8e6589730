import { Buffer } from "node:buffer";
import type { BytePath } from "../../base/paths.ts";
import { EAGAIN, EINTR } from "../files/errno.ts";
import { libc } from "../files/libc.ts";

const IN_MODIFY = 0x2;
const IN_ATTRIB = 0x4;
/** For those that write through a memory map, which nothing reports while they do. */
const IN_CLOSE_WRITE = 0x8;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_MOVE_SELF = 0x800;
export const IN_UNMOUNT = 0x2000;
export const IN_Q_OVERFLOW = 0x4000;
export const IN_IGNORED = 0x8000;
const IN_ONLYDIR = 0x1000000;
const IN_DONT_FOLLOW = 0x2000000;
/** Files that have no name any more are in no snapshot. */
const IN_EXCL_UNLINK = 0x4000000;
export const IN_ISDIR = 0x40000000;

const CHANGES = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE;
const MOVES = IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;
const MASK = CHANGES | MOVES | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK;

/** Of one read; the kernel gives whole events only. */
const BUFFER_BYTES = 64 * 1024;
/** Of one turn: more wait in the kernel, which keeps 16,384 by default and then says that it lost some. */
const READS_MAX = 32;
// struct inotify_event: watch, mask, cookie, length of the name, name padded with NUL.
const HEADER_BYTES = 16;

export interface InotifyEvent {
  /** -1: of no watch. */
  readonly watch: number;
  readonly mask: number;
  /** Empty: of the directory itself. */
  readonly name: BytePath;
}

const buffer = Buffer.alloc(BUFFER_BYTES);

/** One queue of the kernel's. Calls answer as those of libc: a number, or the negative errno. */
export class Inotify {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  static open(): Inotify | number {
    const fd = libc().inotifyInit();
    return fd < 0 ? fd : new Inotify(fd);
  }

  add(directory: BytePath): number {
    return libc().inotifyAddWatch(this.#fd, directory, MASK);
  }

  remove(watch: number): void {
    libc().inotifyRemoveWatch(this.#fd, watch);
  }

  /** What has come since; bounded, so that the rest is for the next turn. */
  read(): InotifyEvent[] {
    const events: InotifyEvent[] = [];
    for (let reads = 0; reads < READS_MAX; reads++) {
      const bytes = libc().read(this.#fd, buffer);
      if (bytes === -EINTR) continue;
      if (bytes === -EAGAIN || bytes === 0) break;
      // Nothing else can happen to a queue that is open: whoever reads takes it as loss.
      if (bytes < 0) return [...events, { watch: -1, mask: IN_Q_OVERFLOW, name: "" as BytePath }];
      parseEvents(bytes, events);
    }
    return events;
  }

  close(): void {
    libc().close(this.#fd);
  }
}

function parseEvents(bytes: number, into: InotifyEvent[]): void {
  for (let at = 0; at + HEADER_BYTES <= bytes; ) {
    const length = buffer.readUInt32LE(at + 12);
    const start = at + HEADER_BYTES;
    const end = length === 0 ? start : buffer.indexOf(0, start);
    const name = buffer.toString("latin1", start, Math.min(end, start + length)) as BytePath;
    into.push({ watch: buffer.readInt32LE(at), mask: buffer.readUInt32LE(at + 4), name });
    at = start + length;
  }
}
