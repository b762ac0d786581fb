// Bands of what is in use, and what is refused because of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bandOf, hostFull, percentOf } from '../../events/capacity.ts';
import type { EventData, Fact } from '../../events/events.ts';

test('a band is passed where it begins, and left five percent below', () => {
  const bands = [0, 69.9, 70, 66, 65.1, 64.9, 85, 80, 79.9, 95, 100, 95, 94, 93.9, 0];
  let band = 0;
  const seen = bands.map((percent) => {
    band = bandOf(percent, band);
    return band;
  });
  assert.deepEqual(seen, [0, 0, 70, 70, 70, 0, 85, 85, 70, 95, 99, 99, 99, 95, 0]);
});

test('percent has one decimal place, and nothing is full of what there is none', () => {
  assert.equal(percentOf(1, 3), 33.3);
  assert.equal(percentOf(1_023, 1_023), 100);
  assert.equal(percentOf(0, 0), 0);
});

test('only what all networks of a host share, and what they use up themselves, is a reason to refuse', () => {
  const of = (what: string, percent: number, ofNetwork: string | null = null): EventData<'CapacityPressure'> => ({
    ...{ host: 'h1', what, ofNetwork, used: percent, limit: 100, percent, band: 99 },
  });
  const grows = [{ type: 'NetworkCreateRequested', data: {} }] as unknown as readonly Fact[];
  const ends = [{ type: 'NetworkDeleteRequested', data: {} }] as unknown as readonly Fact[];
  const full = [of('descriptors', 99), of('neighbours4', 100)];
  const told = [of('conntrack', 100), of('addresses', 100, 'n1'), of('files', 98), of('subnets', 100)];
  assert.equal(hostFull(told, 'h1', grows), null);
  assert.equal(hostFull(full, 'h1', ends), null);
  assert.partialDeepStrictEqual(hostFull(full, 'h1', grows), {
    code: 'HOST_FULL',
    culprits: [{ kind: 'host', id: 'h1' }, { id: 'descriptors', detail: '99 of 100' }, { id: 'neighbours4' }],
  });
});
