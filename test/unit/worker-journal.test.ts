/** What a worker remembers of the log beyond its own life: in a file that whoever is killed leaves whole, and compared with the log that is found. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { systemClock } from '../../services/lib/clock.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { emptyRealm } from '../../services/lib/realm.ts';
import { NatsFault } from '../../services/nats/fault.ts';
import { fileJournal } from '../../services/worker/journal.ts';
import { MemoryOfLog } from '../../services/worker/memory-of-log.ts';
import { memoryJournal } from '../support/memory-journal.ts';
import { memoryStream } from '../support/memory-stream.ts';

describe('the journal of a worker', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cnm-journal-'));
  after(() => rmSync(folder, { recursive: true }));

  it('is there for the next process, the last mark alone', () => {
    const path = join(folder, 'run', 'a.journal');
    const journal = fileJournal(path);
    assert.equal(journal.read(), null);
    for (const position of [1_000_000, 7]) journal.write({ epoch: 'e', position, hash: 'h'.repeat(43) });
    assert.deepEqual(fileJournal(path).read(), { epoch: 'e', position: 7, hash: 'h'.repeat(43) });
    journal.close();
    const next = fileJournal(path);
    next.write({ epoch: 'e', position: 8, hash: 'x' });
    assert.equal(next.read()?.position, 8);
    next.close();
  });

  it('that cannot be read is none', () => {
    const path = join(folder, 'torn.journal');
    writeFileSync(path, '{"epoch":"e","posi');
    const journal = fileJournal(path);
    assert.equal(journal.read(), null);
    journal.write({ epoch: 'e', position: 1, hash: 'h' });
    assert.equal(journal.read()?.position, 1);
    journal.close();
  });
});

describe('a log that is compared with what was read', () => {
  const stored = async (bodies: readonly string[]) => {
    const log = memoryStream('CNM_LOG');
    for (const [index, body] of bodies.entries())
      await log.append({ subject: 'cnm.outcome.h1', body, id: `${body}${index}`, expectedLast: index });
    return log;
  };
  const found = async (bodies: readonly string[], mark: { position: number; hash: string }) => {
    const journal = memoryJournal();
    journal.mark = { epoch: 'e', ...mark };
    return new MemoryOfLog({ journal, clock: systemClock }).compare(await stored(bodies), emptyRealm());
  };

  it('holds it, ends before it, or has something else there', async () => {
    const message = (await stored(['a', 'b'])).stored()[1];
    assert.ok(message);
    const mark = { position: 2, hash: chainHash(message) };
    assert.equal(await found(['a', 'b'], mark), null);
    assert.equal(await found(['a', 'b', 'c'], mark), null);
    assert.deepEqual((await found(['a'], mark))?.found, { epoch: '', position: 1 });
    assert.deepEqual((await found(['a', 'x', 'y'], mark))?.seen, { epoch: 'e', position: 2 });
  });

  it('is asked again while nobody answers for it, and not when asking is of no use', async () => {
    const log = await stored(['a', 'b']);
    const message = log.stored()[1];
    assert.ok(message);
    const journal = memoryJournal();
    journal.mark = { epoch: 'e', position: 2, hash: chainHash(message) };
    const clock = { ...systemClock, after: (_: number, run: () => void) => systemClock.after(0, run) };
    const asking = (faults: readonly NatsFault[]) => {
      const left = [...faults];
      const get = async (position: number) => {
        const fault = left.shift();
        if (fault) throw fault;
        return log.get(position);
      };
      return new MemoryOfLog({ journal, clock }).compare({ ...log, get }, emptyRealm());
    };
    const away = new NatsFault('SERVER_REFUSED', 'timeout', { retry: 'later' });
    assert.equal(await asking([away, away, away]), null);
    const closed = new NatsFault('CONNECTION_CLOSED', 'closed');
    await assert.rejects(asking([away, closed]), closed);
  });
});
