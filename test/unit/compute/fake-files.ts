import { Fault } from "../../../src/base/fault.ts";
import type { BytePath } from "../../../src/base/paths.ts";
import type { FileOpener, FileStat, OpenFile } from "../../../src/ports/file-tree.ts";

/** A run of data or of hole. */
export type Extent = { readonly data: Uint8Array } | { readonly hole: number };

export interface FakeFile {
  extents: readonly Extent[];
  /** Changes to the stat that the extents give. */
  stat?: Partial<FileStat>;
  /** Thrown by `open`. */
  openError?: Error;
  /** Called before each read with the number of the read. */
  beforeRead?: (read: number) => void;
}

const lengthOf = (extent: Extent) => ("data" in extent ? extent.data.length : extent.hole);

export function contentOf(extents: readonly Extent[]): Uint8Array {
  const size = extents.reduce((sum, extent) => sum + lengthOf(extent), 0);
  const out = new Uint8Array(size);
  let at = 0;
  for (const extent of extents) {
    if ("data" in extent) out.set(extent.data, at);
    at += lengthOf(extent);
  }
  return out;
}

export function statOf(file: FakeFile): FileStat {
  const dataBytes = file.extents.reduce((sum, e) => sum + ("data" in e ? e.data.length : 0), 0);
  return {
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: file.extents.reduce((sum, extent) => sum + lengthOf(extent), 0),
    mtimeNs: 1n,
    ctimeNs: 2n,
    device: 3n,
    inode: 4n,
    links: 1,
    major: 0,
    minor: 0,
    blocks: Math.ceil(dataBytes / 512),
    ...file.stat,
  };
}

/** Files in memory; `opened` and `closed` count. */
export function fakeOpener(files: Readonly<Record<string, FakeFile>>) {
  const counts = { opened: 0, closed: 0, questions: 0 };
  const opener: FileOpener = {
    open(path: BytePath): OpenFile {
      const file = files[path];
      if (file === undefined) throw new Fault({ code: "SOURCE_MISSING", path });
      if (file.openError !== undefined) throw file.openError;
      counts.opened++;
      let reads = 0;
      const edges = (): { from: number; to: number; isData: boolean }[] => {
        let at = 0;
        return file.extents.map((extent) => {
          const from = at;
          at += lengthOf(extent);
          return { from, to: at, isData: "data" in extent };
        });
      };
      return {
        stat: () => statOf(file),
        read(offset, into) {
          file.beforeRead?.(reads++);
          const bytes = contentOf(file.extents).subarray(offset, offset + into.length);
          into.set(bytes);
          return bytes.length;
        },
        nextData(offset) {
          counts.questions++;
          const edge = edges().find(({ to, isData }) => isData && to > offset);
          return edge === undefined ? undefined : Math.max(edge.from, offset);
        },
        nextHole(offset) {
          const edge = edges().find(({ to, isData }) => !isData && to > offset);
          return edge === undefined ? statOf(file).size : Math.max(edge.from, offset);
        },
        close: () => {
          counts.closed++;
        },
      };
    },
  };
  return { opener, counts };
}
