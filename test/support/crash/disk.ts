/**
 * A disk whose power can be cut: an ext4 file system of its own, in a file. A cut loses what was written and not synced, as one of the machine's
 * would; everything that was synced is there. A nats-server with its default `sync_interval` loses acknowledged messages in the first one. To
 * be opened in a mount namespace of the caller's own, with which it goes.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sh } from '../netns.ts';

/** Only what is written to it takes room. */
const BYTES = 8 * 2 ** 30;

/** EXT4_IOC_SHUTDOWN, `_IOR('X', 125, __u32)`, with EXT4_GOING_FLAGS_NOLOGFLUSH: from now on nothing reaches the disk (fs/ext4/ext4.h). */
const shutDown =
  'import fcntl, os, struct, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))';

/**
 * How a file system takes what is written: data before the sizes of files, which is ext4's default, so that tails are missing; or sizes
 * first, so that tails may be torn: they hold zeros, or what was there before.
 */
export type Writing = 'missing tails' | 'torn tails';
const options: Readonly<Record<Writing, string>> = {
  'missing tails': 'loop,data=ordered',
  'torn tails': 'loop,data=writeback,nodelalloc,commit=1',
};

export class Disk {
  /** Where it is mounted. */
  readonly folder: string;
  readonly #image: string;

  private constructor(place: string) {
    this.folder = join(place, 'disk');
    this.#image = join(place, 'image');
  }

  /** Or the reason why this machine has none: no loop devices, no ext4, or no permission for them. */
  static openIfAny():
    | { readonly opened: Disk; readonly reason: '' }
    | { readonly opened: null; readonly reason: string } {
    try {
      return { opened: Disk.open(), reason: '' };
    } catch (error) {
      return { opened: null, reason: `no disk whose power can be cut: ${String(error)}` };
    }
  }

  /** @throws where `openIfAny` has a reason */
  static open(): Disk {
    const place = mkdtempSync(join(tmpdir(), 'cnm-disk-'));
    const disk = new Disk(place);
    try {
      mkdirSync(disk.folder);
      writeFileSync(disk.#image, '');
      truncateSync(disk.#image, BYTES);
      sh(`mkfs.ext4 -q -F ${disk.#image}`);
      disk.#mount('missing tails');
      return disk;
    } catch (error) {
      rmSync(place, { recursive: true });
      throw error;
    }
  }

  #mount(writing: Writing): void {
    sh(`mount -o ${options[writing]} ${this.#image} ${this.folder}`);
  }

  /** What is on it now is not lost any more. */
  sync(): void {
    sh(`sync -f ${this.folder}`);
  }

  /** Nobody may have a file of it open. @param writing how it is used from now on */
  cut(writing: Writing): void {
    const { status, stderr } = spawnSync('python3', ['-c', shutDown, this.folder], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`the power of ${this.folder} is still on: ${stderr}`);
    sh(`umount ${this.folder}`);
    this.#mount(writing);
  }

  close(): void {
    sh(`umount ${this.folder}`);
    rmSync(join(this.folder, '..'), { recursive: true });
  }
}
