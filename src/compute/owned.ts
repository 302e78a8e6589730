/**
 * The bytes in memory of their own, exactly as long: they may then outlive, or be moved to another thread
 * without, whatever they were a part of. Compression hands out short views of long buffers.
 */
export function owned(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** As `owned`, without the copy where the bytes have their memory for themselves and it is not `scratch`. */
export function ownedUnless(scratch: Uint8Array, bytes: Uint8Array): Uint8Array {
  const alone = bytes.byteLength === bytes.buffer.byteLength && bytes.buffer !== scratch.buffer;
  return alone ? bytes : owned(bytes);
}
