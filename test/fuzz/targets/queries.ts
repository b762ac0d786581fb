/** Questions to a projector that holds a history. */
import assert from 'node:assert/strict';
import { encodeCommit } from '../../../events/envelope.ts';
import { viewNames } from '../../../events/queries.ts';
import { systemClock } from '../../../services/lib/clock.ts';
import { silentLogger } from '../../../services/lib/logger.ts';
import { queryNames } from '../../../services/projector/answer.ts';
import { createProjector, type Projector } from '../../../services/projector/projector.ts';
import { memoryStream } from '../../support/memory-stream.ts';
import { someHistory } from '../../support/some-history.ts';
import { json, mutatedJson, mutatedText, type Random, text } from '../random.ts';
import type { Target } from '../target.ts';

const good = [
  { filter: { host: 'h1' }, limit: 5 },
  { filter: { network: 'web', label: ['a=b'] }, asOf: 40, timeoutMs: 1 },
  { filter: { address: '10.0.0.2' }, after: 'x', limit: 2 },
  { filter: { since: '10', type: 'NetworkCreated' }, limit: 3 },
  { filter: { kind: 'address', what: '10.200.0.2' } },
  { from: 3, asOf: 30 },
  { atLeast: 2, timeoutMs: 1 },
];

const serve = async (): Promise<Projector> => {
  const log = memoryStream('CNM_LOG', { nowMs: Date.now });
  for (const { subject, events } of someHistory(120))
    await log.append({ subject, body: encodeCommit(events), id: `${events[0]?.meta.id}` });
  const projector = createProjector({ log, clock: systemClock, logger: silentLogger() });
  await projector.caughtUp;
  return projector;
};

export const queries: Target = {
  name: 'queries',
  share: 3,
  start: () => {
    const serving = serve();
    return async (random: Random) => {
      const projector = await serving;
      const name = random.chance(0.9) ? random.pick([...queryNames, ...viewNames]) : text(random);
      const asked = random.chance(0.9) ? mutatedJson(random, random.pick(good)) : json(random);
      const written = JSON.stringify(asked) ?? '';
      try {
        const answer: unknown = JSON.parse(
          await projector.answer(name, random.chance(0.1) ? mutatedText(random, written) : written),
        );
        assert.ok(typeof answer === 'object' && answer !== null);
      } catch (error) {
        if (!(error instanceof Error && error.name === 'QueryFault')) throw error;
      }
    };
  },
};
