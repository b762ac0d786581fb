// What is appended to a file while more is made: everything, in order, however little is taken at once, and what fails is told.
import assert from 'node:assert/strict';
import type { FileHandle } from 'node:fs/promises';
import { test } from 'node:test';
import { FileTail } from '../../services/audit/file-tail.ts';

/** A file that takes so many bytes at once, and fails behind `full`. */
const file = (atOnce: number, full = Number.POSITIVE_INFINITY) => {
  const bytes = Buffer.alloc(4_096);
  let calls = 0;
  const write = async (from: Uint8Array, at: number) => {
    calls += 1;
    await new Promise((resolve) => setImmediate(resolve));
    if (at >= full) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    const taken = Math.min(atOnce, from.length, full - at);
    bytes.set(from.subarray(0, taken), at);
    return { bytesWritten: taken };
  };
  const handle = {
    write: (piece: Uint8Array, offset: number, length: number, at: number) =>
      write(piece.subarray(offset, offset + length), at),
  } as unknown as FileHandle;
  return { handle, text: (end: number) => bytes.toString('latin1', 0, end), calls: () => calls };
};

const pieces = Array.from({ length: 100 }, (_, index) => `${index};`.repeat(1 + (index % 7)));
const whole = pieces.join('');

for (const atOnce of [1_000_000, 100, 3]) {
  test(`a file that takes ${atOnce} bytes at once has everything in order`, async () => {
    const { handle, text, calls } = file(atOnce);
    const tail = new FileTail(handle, 5);
    for (const piece of pieces) await tail.append(Buffer.from(piece));
    await tail.written();
    assert.equal(tail.end, 5 + whole.length);
    assert.equal(text(tail.end).slice(5), whole);
    // the first, and all that waited meanwhile
    if (atOnce > whole.length) assert.equal(calls(), 2);
  });
}

for (const waitingBytes of [1, 16, 64])
  test(`of what comes ${waitingBytes} bytes may wait: larger pieces and many at once come out in order`, async () => {
    const { handle, text } = file(7);
    const tail = new FileTail(handle, 0, waitingBytes);
    for (const piece of pieces) await tail.append(Buffer.from(piece));
    await tail.append(Buffer.alloc(0));
    await tail.append(Buffer.from('end'));
    await tail.written();
    assert.equal(text(tail.end), `${whole}end`);
  });

test('what the disk does not take is thrown by whoever comes next and has to wait', async () => {
  const tail = new FileTail(file(50, 120).handle, 0, 64);
  await assert.rejects(
    async () => {
      for (const piece of pieces) await tail.append(Buffer.from(piece));
    },
    { code: 'ENOSPC' },
  );
});

test('a disk that is full: what was taken is a beginning, and the reason is thrown', async () => {
  const { handle, text } = file(50, 120);
  const tail = new FileTail(handle, 0);
  for (const piece of pieces) await tail.append(Buffer.from(piece));
  await assert.rejects(tail.written(), { code: 'ENOSPC' });
  await assert.rejects(tail.written(), { code: 'ENOSPC' });
  assert.equal(tail.end, 120);
  assert.equal(text(120), whole.slice(0, 120));
});
