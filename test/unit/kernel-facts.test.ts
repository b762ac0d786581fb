/** Facts of a machine whose links others change all the time. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readFacts } from '../../drivers/kernel/facts.ts';
import type { Host } from '../../drivers/kernel/host.ts';
import { AnswerLost } from '../../drivers/kernel/netlink.ts';
import { MessageWriter } from '../../drivers/kernel/writer.ts';

const hostWith = (error: Error): Host => {
  const dump = (): never => {
    throw error;
  };
  return { capabilities: {}, route: { dump }, writer: new MessageWriter(4096) } as unknown as Host;
};

describe('facts', () => {
  it('are read another time when each look was interrupted', () => {
    assert.equal(readFacts(hostWith(new AnswerLost('dump interrupted 5 times'))), null);
  });

  it('say why they cannot be read at all', () => {
    assert.throws(() => readFacts(hostWith(new Error('no socket'))), /no socket/);
  });
});
