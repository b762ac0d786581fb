/** How the batches of a round get onto the log: each by itself, admissions ahead of what they admit, or all together. */
import type { Appended, Stream } from '../lib/stream.ts';
import { admissionOf, commitOf } from './commits.ts';
import type { Intake } from './intake.ts';
import { type Batch, inLogOrder, type Round } from './round.ts';

/** What became of a batch; null where there was nothing to append. @returns the commands that must be decided again */
export type Settle = (batch: Batch, appended: Appended | null) => Promise<readonly Intake[]>;

interface Storing {
  readonly log: Stream;
  /** Every command before it is decided. */
  readonly from: number;
  readonly settle: Settle;
}

/** @returns the commands that must be decided again, since a guard did not hold or nobody answered */
export const storeRound = async ({ batches, bond }: Round, storing: Storing): Promise<readonly Intake[]> => {
  if (bond === 'apart' || batches.length === 1) return each(batches, storing, (batch) => append(batch, storing));
  if (bond === 'admitted') return admit(batches, storing);
  const appended = await appendAll(batches, storing);
  return each(batches, storing, async (batch) => appended.get(batch) ?? null);
};

/** Stores and settles each by itself. */
const each = async (
  batches: readonly Batch[],
  { settle }: Storing,
  store: (batch: Batch) => Promise<Appended | null>,
): Promise<readonly Intake[]> => {
  const undone = await Promise.all(batches.map(async (batch) => settle(batch, await store(batch))));
  return undone.flat();
};

/**
 * Admissions first, and what they admit behind them: on one server that takes a third of what an atomic batch takes. An admission whose
 * creation does not come says nothing, and nobody decides on its network before that is settled.
 */
const admit = async (batches: readonly Batch[], storing: Storing): Promise<readonly Intake[]> => {
  const { log, from, settle } = storing;
  const hosts = batches.filter(({ boundary }) => boundary.host !== null);
  const realm = batches.filter(({ boundary }) => boundary.host === null);
  const written = hosts.filter(({ events }) => events.length > 0);
  const admitted = await Promise.all(
    realm.map(async (batch) => ({
      batch,
      appended: batch.events.length > 0 ? await log.append(admissionOf(batch, from, written)) : null,
    })),
  );
  const undone = admitted.map(({ batch, appended }) => settle(batch, appended));
  if (admitted.some(({ appended }) => appended && appended.kind !== 'appended')) {
    const waiting = hosts.flatMap(({ decided, repeated }) => [...decided.map(({ intake }) => intake), ...repeated]);
    return [...(await Promise.all(undone)).flat(), ...waiting];
  }
  const created = each(hosts, storing, (batch) => append(batch, storing));
  return (await Promise.all([...undone, created])).flat();
};

const append = async (batch: Batch, { log, from }: Storing): Promise<Appended | null> => {
  const last = batch.decided.at(-1);
  return last ? log.append(commitOf(batch, from, last.intake.sequence)) : null;
};

/** All or nothing. */
const appendAll = async (batches: readonly Batch[], { log, from }: Storing): Promise<ReadonlyMap<Batch, Appended>> => {
  const written = inLogOrder(batches);
  const through = Math.max(...written.map(({ decided }) => decided.at(-1)?.intake.sequence ?? 0));
  const appended = await log.appendAll(written.map((batch) => commitOf(batch, from, through)));
  const answerAt = (index: number): Appended =>
    appended.kind === 'appended' ? { kind: 'appended', position: appended.positions[index] ?? 0 } : appended;
  return new Map(written.map((batch, index) => [batch, answerAt(index)]));
};
