/** The port to the keys of sealed values: one a data subject, made once, never replaced, erased for good. */
export interface SealKeys {
  /** Null: none was made, or it is erased. */
  get(subject: string): Promise<Uint8Array | null>;
  /** Keeps this as the subject's key unless it has one; answers the one that it has afterwards. */
  make(subject: string, key: Uint8Array): Promise<Uint8Array>;
  /** Nobody can read it afterwards, not in what is left on disk either. @returns whether there was one */
  erase(subject: string): Promise<boolean>;
}
