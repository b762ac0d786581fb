/** Stored messages as somebody would have them who may change whatever he likes, and the log of a realm of two hosts to begin with. */
import assert from 'node:assert/strict';
import type { KeyObject } from 'node:crypto';
import { Chain, type ChainState, writeHeads } from '../../services/audit/chain.ts';
import { parseCheckpoint, signCheckpoint } from '../../services/audit/checkpoint.ts';
import type { SignedCheckpoint } from '../../services/audit/export-format.ts';
import { type Expected, type Report, Verifier, type VerifierOptions } from '../../services/audit/verifier.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { chainHash } from '../../services/lib/hash.ts';
import type { Message } from '../../services/lib/stream.ts';
import type { MemoryStream } from './memory-stream.ts';
import { RealmStage } from './realm-stage.ts';
import { startController } from './world.ts';

export interface Stored {
  readonly position: number;
  readonly recordedMs: number;
  readonly subject: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
}

/** A log with what vouches for it. */
export interface Sealed {
  readonly log: readonly Stored[];
  readonly checkpoints: readonly SignedCheckpoint[];
  readonly end: Expected;
}

export const storedOf = (message: Message): Stored => ({
  position: message.position,
  recordedMs: message.recordedMs,
  subject: message.subject,
  headers: message.headers(),
  body: message.body,
});

export const messageOf = ({ headers, ...rest }: Stored): Message => ({
  ...rest,
  pending: 0,
  headers: () => headers,
  header: (wanted) => headers.find(([name]) => name === wanted)?.[1] ?? '',
});

export const hashOf = (stored: Stored): string => chainHash(messageOf(stored));

export const withHeader = (stored: Stored, name: string, value: string): Stored => ({
  ...stored,
  headers: [...stored.headers.filter(([known]) => known !== name), [name, value]],
});

/** Positions from 1 on, in the order of the list. */
export const renumbered = (log: readonly Stored[]): readonly Stored[] =>
  log.map((stored, index) => ({ ...stored, position: index + 1 }));

/** Guards and hashes as they would be had the messages been appended in this order: what somebody forges who may write anything. */
export const rechained = (log: readonly Stored[]): readonly Stored[] => {
  const chain = new Chain();
  return log.map((stored) => {
    const before = chain.heads.get(stored.subject);
    const guarded = withHeader(stored, 'Nats-Expected-Last-Subject-Sequence', String(before?.position ?? 0));
    const next = before ? withHeader(guarded, 'Cnm-Prev-Hash', before.hash) : guarded;
    chain.take(messageOf(next));
    return next;
  });
};

const endOf = ({ position, digest, heads }: ChainState): Expected => ({
  last: position,
  digest,
  heads: writeHeads(heads),
});

/** With a checkpoint behind every so many messages. */
export const sealed = (log: readonly Stored[], key: KeyObject, every: number): Sealed => {
  const chain = new Chain();
  const checkpoints: SignedCheckpoint[] = [];
  for (const stored of log) {
    chain.take(messageOf(stored));
    const before = checkpoints.at(-1)?.checkpoint ?? '';
    const of = { realm: 'test', epoch: 'e', chain, nowMs: stored.recordedMs, before };
    if (stored.position % every === 0) checkpoints.push(signCheckpoint(of, key));
  }
  return { log, checkpoints, end: endOf(chain) };
};

/** Verifies as of a file: each checkpoint behind the message of its position, what is left at the end. */
export const verified = ({ log, checkpoints, end }: Sealed, options: VerifierOptions): Report => {
  const verifier = new Verifier(options);
  const due = checkpoints.values();
  let next = due.next().value;
  for (const stored of log) {
    verifier.take(messageOf(stored));
    while (next && (parseCheckpoint(next.checkpoint)?.position ?? 0) <= stored.position) {
      verifier.checkpoint(next);
      next = due.next().value;
    }
  }
  for (; next; next = due.next().value) verifier.checkpoint(next);
  return verifier.report(end);
};

/** What two hosts, an overlay and networks of one host each leave behind, joint batches and commits ahead included. */
export const realmStream = async (): Promise<MemoryStream> => {
  const stage = new RealmStage();
  await stage.host('h1');
  await stage.host('h2');
  const controller = startController({ log: stage.log, commands: stage.commands }, systemClock, stage.answers);
  await controller.start();
  controller.activate();
  const run = async (...args: Parameters<RealmStage['code']>): Promise<void> =>
    assert.equal(await stage.code(...args), 'succeeded', args[0]);
  await run('CreateNetwork', { name: 'mesh', driver: 'overlay' });
  for (const host of ['h1', 'h2']) await run('CreateNetwork', { name: 'web', driver: 'bridge' }, host);
  for (const [host, n] of [
    ['h1', 1],
    ['h2', 2],
    ['h1', 3],
    ['h2', 4],
  ] as const) {
    await run('AttachSandbox', { sandbox: `s${n}`, networks: [{ network: 'mesh' }] } as never, host);
    await run('CreateEndpoint', { network: 'web', name: `e${n}` }, host);
  }
  assert.notEqual(await stage.code('DeleteNetwork', { network: 'mesh' }), 'succeeded');
  await run('DetachSandbox', { sandbox: 's1' } as never, 'h1');
  await run('DeleteEndpoint', { network: 'web', endpoint: 'e2' }, 'h2');
  await run('CreateNetwork', { name: 'lone', driver: 'overlay' });
  await run('CreateEndpoint', { network: 'lone', name: 'e' }, 'h1');
  // In one round, so that both are stored together.
  await controller.deactivate();
  await stage.send('DeleteEndpoint', { network: 'lone', endpoint: 'e' });
  await stage.send('DeleteNetwork', { network: 'lone' });
  controller.activate();
  await stage.settled();
  await controller.stop();
  await stage.stop();
  return stage.log;
};

export const realmLog = async (): Promise<readonly Stored[]> => (await realmStream()).stored().map(storedOf);
