/** The bodies of the messages that a segment begins with: lines of JSON, packed with gzip (RFC 1952) behind the first, or as they are in earlier formats. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { UnreadableCommit } from '../../events/envelope.ts';

const decoder = new TextDecoder();
/** What a body unpacks to at most: none that was written has as much. */
const textBytesMax = 64 * 1024 * 1024;

/** No line of JSON begins with these bytes. */
const isPacked = (body: Uint8Array): boolean => body[0] === 0x1f && body[1] === 0x8b;

export const packText = (text: string): Uint8Array => gzipSync(text);

/** @throws UnreadableCommit for what was not packed here */
export const stateText = (body: Uint8Array): string => {
  if (!isPacked(body)) return decoder.decode(body);
  try {
    return decoder.decode(gunzipSync(body, { maxOutputLength: textBytesMax }));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UnreadableCommit(`a part of the state that the segment begins with cannot be unpacked: ${why}`, 'newer');
  }
};
