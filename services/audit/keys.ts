/** Keys that checkpoints are signed with: Ed25519, PEM; the public half is named by a digest of itself. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';

export type KeyFaultCode =
  /** The file holds no Ed25519 key of the kind that is needed. */
  | 'KEY_INVALID'
  /** Others than its owner may read or write the file of a private key. */
  | 'KEY_EXPOSED'
  /** There is a file of this name already. */
  | 'KEY_EXISTS';

export class KeyFault extends Error {
  override readonly name = 'KeyFault';
  readonly code: KeyFaultCode;

  constructor(code: KeyFaultCode, message: string) {
    super(message);
    this.code = code;
  }
}

const ID_LENGTH = 22;

/** First 22 characters of the SHA-256, base64url, of the public key as SPKI in DER. */
export const keyIdOf = (key: KeyObject): string => {
  const half = key.type === 'private' ? createPublicKey(key) : key;
  return hash('sha256', half.export({ type: 'spki', format: 'der' }), 'base64url').slice(0, ID_LENGTH);
};

/** Writes a new pair: the private key (PKCS 8) to `file`, for its owner alone, the public one (SPKI) to `file`.pub. @throws KeyFault KEY_EXISTS */
export const generateKey = async (file: string): Promise<{ readonly id: string; readonly publicFile: string }> => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const publicFile = `${file}.pub`;
  const secret = privateKey.export({ type: 'pkcs8', format: 'pem' });
  try {
    await writeFile(file, secret, { mode: 0o600, flag: 'wx', flush: true });
    await writeFile(publicFile, publicKey.export({ type: 'spki', format: 'pem' }), {
      mode: 0o644,
      flag: 'wx',
      flush: true,
    });
  } catch (error) {
    const { code, path = file } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new KeyFault('KEY_EXISTS', `${path} is there already`);
    throw error;
  }
  return { id: keyIdOf(publicKey), publicFile };
};

const parsed = (file: string, parse: () => KeyObject): KeyObject => {
  let key: KeyObject;
  try {
    key = parse();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new KeyFault('KEY_INVALID', `${file} holds no key of Ed25519 in PEM (${why})`);
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw new KeyFault('KEY_INVALID', `${file} is a key of ${key.asymmetricKeyType}, not of Ed25519`);
};

/** The key to sign with. @throws KeyFault KEY_INVALID, KEY_EXPOSED; what the file system says of a file that cannot be read */
export const readSigningKey = async (file: string): Promise<KeyObject> => {
  const { mode } = await stat(file);
  if ((mode & 0o077) !== 0) throw new KeyFault('KEY_EXPOSED', `${file} can be used by others: chmod 600 ${file}`);
  const text = await readFile(file, 'utf8');
  return parsed(file, () => createPrivateKey(text));
};

/** Public keys by their ids; a private key stands for its public half. @throws KeyFault KEY_INVALID */
export const readVerifyingKeys = async (files: readonly string[]): Promise<ReadonlyMap<string, KeyObject>> => {
  const keys = new Map<string, KeyObject>();
  for (const file of files) {
    const text = await readFile(file, 'utf8');
    const key = parsed(file, () => createPublicKey(text));
    keys.set(keyIdOf(key), key);
  }
  return keys;
};
