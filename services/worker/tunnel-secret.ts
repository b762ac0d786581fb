/** The secret of encrypted networks: a file that is the same on every host, and nobody's but the worker's. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';

/** As many as the key of AES-256 has; more do no harm. */
const [leastBytes, mostBytes] = [32, 4096];

export type Secret = { readonly ok: true; readonly bytes: Uint8Array } | { readonly ok: false; readonly why: string };

const no = (why: string): Secret => ({ ok: false, why });

const readFrom = (descriptor: number, path: string): Secret => {
  const { mode, size } = fstatSync(descriptor);
  if ((mode & constants.S_IFMT) !== constants.S_IFREG) return no(`${path} is no file`);
  if ((mode & 0o077) !== 0)
    return no(`${path} has mode 0${(mode & 0o777).toString(8)}: others must have no part in it, \`chmod 600\``);
  if (size < leastBytes || size > mostBytes) return no(`${path} has ${size} bytes, not ${leastBytes} to ${mostBytes}`);
  return { ok: true, bytes: readFileSync(descriptor) };
};

/** @param path null: none is configured. What is in the file is never part of the answer's text. */
export const readSecret = (path: string | null): Secret => {
  if (path === null) return no('CNM_OVERLAY_SECRET_FILE is not set');
  try {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return readFrom(descriptor, path);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return no(`${path} cannot be read (${String(error.code)})`);
  }
};
