/**
 * The policy an operator wrote for this node.
 * - `read` gives its text, or `undefined` where there is none. NOT_ALLOWED where others than this process's user could have
 *   written it: commands in it run as that user. DISK_FAILED.
 * - `write` replaces it as a whole; after a crash it is the old one or the new one.
 */
export interface PolicyFile {
  read(): Promise<string | undefined>;
  write(text: string): Promise<void>;
}
