/**
 * Sealed values: text that only whoever may read a subject's key can read, and nobody once that key is erased. They are meant for values of
 * labels; nothing in the log or its chain depends on what is in them. Form: `sealed:1:SUBJECT:` and in base64url a nonce (12 bytes), the
 * ciphertext of AES-256-GCM and its tag (16 bytes); the text up to the last colon is authenticated with it. Pure, but for the nonce.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { DataSubject } from '../../events/names.ts';

const CIPHER = 'aes-256-gcm';
export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** What a label takes (events/commands.ts), in characters. */
const VALUE_CHARACTERS_MAX = 1024;

const form = /^(sealed:1:([A-Za-z0-9][A-Za-z0-9_.-]{0,62}):)([A-Za-z0-9_-]+)$/;
/** Sealed values anywhere in a text. */
const within = /\bsealed:1:[A-Za-z0-9][A-Za-z0-9_.-]{0,62}:[A-Za-z0-9_-]{38,}/g;

export type SealFaultCode =
  /** The subject's name is none, or the text is too long for a label. */
  | 'SEAL_INVALID'
  /** The text is no sealed value, or was changed. */
  | 'SEAL_DAMAGED'
  /** There is no key for the subject where we look: it was never there, as behind an import. */
  | 'SEAL_NO_KEY'
  /** What was sealed for the subject is shredded. */
  | 'SUBJECT_SHREDDED';

export class SealFault extends Error {
  override readonly name = 'SealFault';
  readonly code: SealFaultCode;

  constructor(code: SealFaultCode, message: string) {
    super(message);
    this.code = code;
  }
}

interface Parts {
  readonly head: string;
  readonly subject: string;
  readonly bytes: Buffer;
}

const partsOf = (value: string): Parts | null => {
  const [, head = '', subject = '', text = ''] = form.exec(value) ?? [];
  const bytes = Buffer.from(text, 'base64url');
  return bytes.length < NONCE_BYTES + TAG_BYTES ? null : { head, subject, bytes };
};

/** Whom a value is sealed for; null for any other text. */
export const subjectOf = (value: string): string | null => partsOf(value)?.subject ?? null;

/** The sealed values that stand in a text. */
export const sealedIn = (text: string): readonly string[] => [...new Set(text.match(within) ?? [])];

/** @throws SealFault SEAL_INVALID */
export const seal = (key: Uint8Array, subject: string, text: string): string => {
  if (!DataSubject.safeParse(subject).success)
    throw new SealFault('SEAL_INVALID', `${subject} is no name of a subject: letters, digits, "_", "." and "-"`);
  const head = `sealed:1:${subject}:`;
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(head));
  const bytes = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  const value = `${head}${bytes.toString('base64url')}`;
  if (value.length <= VALUE_CHARACTERS_MAX) return value;
  const over = `${Buffer.byteLength(text)} bytes make a sealed value of ${value.length} characters`;
  throw new SealFault('SEAL_INVALID', `${over}, and a label takes ${VALUE_CHARACTERS_MAX}`);
};

/** @throws SealFault SEAL_DAMAGED */
export const unseal = (key: Uint8Array, value: string): string => {
  const parts = partsOf(value);
  if (parts === null) throw new SealFault('SEAL_DAMAGED', 'it is no sealed value');
  const { head, subject, bytes } = parts;
  const nonce = bytes.subarray(0, NONCE_BYTES);
  const ciphertext = bytes.subarray(NONCE_BYTES, -TAG_BYTES);
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(head)).setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString('utf8');
  } catch {
    throw new SealFault('SEAL_DAMAGED', `it was changed, or sealed with another key of ${subject}`);
  }
};
