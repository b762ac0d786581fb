/** Netlink messages as hexadecimal words of 4 bytes, for tests of exact bytes. */
import { MessageReader } from '../../drivers/kernel/reader.ts';
import { MessageWriter } from '../../drivers/kernel/writer.ts';

/** The bytes of one or more messages. */
export const written = (encode: (w: MessageWriter) => void): Buffer => {
  const writer = new MessageWriter(1 << 20);
  encode(writer);
  return Buffer.from(writer.bytes.subarray(0, writer.length));
};

/** Sequence numbers left out. */
export const encoded = (encode: (w: MessageWriter) => void): string => {
  const bytes = written(encode);
  for (const message of new MessageReader(bytes).messages(bytes.length)) bytes.writeUInt32LE(0, message.start - 8);
  return bytes
    .toString('hex')
    .replaceAll(/(.{8})/g, '$1 ')
    .trim();
};

/** What is expected, as it is written down: on lines, with a comment behind each. */
export const words = (text: string): string =>
  text
    .replaceAll(/\s*\/\/.*|\s+/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();
