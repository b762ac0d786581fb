/** node:fs as the kernel's threads use it, with a failpoint around each call that changes something. */
import * as fs from 'node:fs';
import { around } from './failpoint.ts';

export * from 'node:fs';

export const openSync = around('open', fs.openSync);
export const mkdirSync = around('mkdir', fs.mkdirSync);
export const writeFileSync = around('write', fs.writeFileSync);
export const writeSync = around('write', fs.writeSync);
export const fchmodSync = around('chmod', fs.fchmodSync);
export const ftruncateSync = around('truncate', fs.ftruncateSync);
export const renameSync = around('rename', fs.renameSync);
export const unlinkSync = around('unlink', fs.unlinkSync);
export const rmdirSync = around('rmdir', fs.rmdirSync);
