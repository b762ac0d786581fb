/** node:fs as the kernel's threads use it, with a failpoint around each call that changes something. */
import * as fs from 'node:fs';
import { around as guarded } from './failpoint.ts';

export * from 'node:fs';

/** A disk that fails, in node's words. */
const fail = (syscall: string) => (): never => {
  throw Object.assign(new Error(`EIO: i/o error, ${syscall}`), { code: 'EIO', errno: -5, syscall });
};
const around = <F extends (...args: never[]) => unknown>(name: string, call: F): F => guarded(name, call, fail(name));

export const openSync = around('open', fs.openSync);
export const mkdirSync = around('mkdir', fs.mkdirSync);
export const writeFileSync = around('write', fs.writeFileSync);
export const fchmodSync = around('chmod', fs.fchmodSync);
export const ftruncateSync = around('truncate', fs.ftruncateSync);
export const renameSync = around('rename', fs.renameSync);
export const unlinkSync = around('unlink', fs.unlinkSync);
