// A log can be put away however much a network in it was used.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Event, encodeCommit } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { openExport } from '../../services/audit/open-export.ts';
import { openingOf as segmentOf } from '../../services/audit/segment-opening.ts';
import { openingOf } from '../../services/controller/commits.ts';
import { boundaryOf, foldLog, type Realm } from '../../services/lib/realm.ts';
import type { Message } from '../../services/lib/stream.ts';
import { writeExport } from '../support/export-file.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { FakeClock, World } from '../support/world.ts';

/** More than one message of the next segment had room for, while they stood in one line. */
const RELEASED = 8_200;
const AT_ONCE = 100;
/** The least that a server takes (services/nats/streams.ts), with room for headers. */
const MESSAGE_BYTES_MAX = 448 * 1024;

/** A network whose endpoints could not be made, one after another: each has given its address back. */
const usedWorld = (): World => {
  const world = new World();
  world.run('CreateNetwork', {
    name: 'web',
    ipam: { subnets: [{ subnet: 'fd00:1234:5678:9abc::/64' }] },
    ipv4: false,
    ipv6: true,
  });
  world.succeed();
  for (let n = 0; n < RELEASED; n += AT_ONCE) {
    for (let one = 0; one < AT_ONCE; one++) world.run('CreateEndpoint', { network: 'web', name: `a${one}` });
    for (let one = 0; one < AT_ONCE; one++) world.fail('EndpointCreateRequested');
  }
  return world;
};

const subjectOf = (event: Event | undefined): string =>
  event?.meta.commandseq === undefined ? subjects.outcome('h1') : subjects.host('h1');

/** What follows each other on one subject is one commit. */
const commitsOf = ({ log }: World): readonly (readonly Event[])[] => {
  const commits: Event[][] = [];
  for (const event of log) {
    const last = commits.at(-1);
    if (last && subjectOf(last[0]) === subjectOf(event)) last.push(event);
    else commits.push([event]);
  }
  return commits;
};

const releasesOf = (realm: Realm) =>
  [...boundaryOf(realm, 'h1').state.cells].flatMap(([id, { pools }]) =>
    pools.map(({ releases, cursor }) => [id, cursor.get('next'), [...releases.oldestFirst()]] as const),
  );

test(`a log with ${RELEASED} released addresses in one subnet can be put away, and goes on with all of them`, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cnm-segment-opening-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const log = memoryStream('CNM_LOG');
  await log.append(openingOf('r1', 'opening00000', 0));
  for (const events of commitsOf(usedWorld())) {
    const subject = subjectOf(events[0]);
    await log.append({ subject, body: encodeCommit(events), id: `${events[0]?.meta.id}` });
  }
  const file = join(folder, 'log.ndjson');
  await writeExport(log, file);
  const { privateKey: key } = generateKeyPairSync('ed25519');
  const opened = await openExport(file);
  const appends = await segmentOf({ opened, file, sha256: '', key, clock: new FakeClock() });
  for (const { body } of appends) assert.ok(Buffer.byteLength(body) <= MESSAGE_BYTES_MAX);

  const before = foldLog(log.stored());
  const messages = appends.map(
    ({ subject, body }, index): Message => ({
      ...{ position: log.stored().length + 1 + index, recordedMs: 0, pending: 0, subject },
      ...{ body: Buffer.from(body), header: () => '', headers: () => [] },
    }),
  );
  const after = foldLog(messages);
  assert.equal(releasesOf(before)[0]?.[2].length, RELEASED);
  assert.deepEqual(releasesOf(after), releasesOf(before));
});
