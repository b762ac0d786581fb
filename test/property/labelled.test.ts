// Which events a watch for labels is shown: those of things that have them by the views, wherever in the log it is begun.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Event } from '../../events/envelope.ts';
import { Labelled } from '../../projections/labelled.ts';
import { labelNames } from '../../projections/projection.ts';
import { applyCommit, createViews, type Views } from '../../projections/views.ts';
import { historyOf, type RandomCommit } from '../support/random-history.ts';
import { rollsOf, unit } from './histories.ts';

const rolls = rollsOf({ minLength: 100, maxLength: 300 });
const wanted = fc.constantFrom(['tier'], ['tier=1'], ['tier=2', 'team=shop'], ['team'], ['team=none']);

/** Ids of what an event is about, by what it is called in the event; of an event of an endpoint not its network. */
const idsIn = ({ type, data }: Event): readonly string[] => {
  const { networkId, endpointId, network, endpoint } = data as Readonly<Record<string, unknown>>;
  const made = (endpoint ?? network) as { readonly id: string } | undefined;
  if (type === 'CommandRefused') return data.culprits.map(({ id }) => id);
  if (type === 'PortsLeased') return data.ports.map(({ holder }) => holder);
  if (type === 'HostLost') return [...data.networks, ...data.endpoints];
  const id = made?.id ?? endpointId ?? networkId;
  return typeof id === 'string' ? [id] : [];
};

const hasLabels = ({ rows }: Views, id: string, labels: readonly string[]): boolean => {
  const row = rows.networks.get(id) ?? rows.endpoints.get(id);
  return row !== undefined && labels.every((label) => labelNames(row.labels).includes(label));
};

/** Of each event whether its thing has the labels before or after it, as the views have it. */
const byTheViews = (commits: readonly RandomCommit[], labels: readonly string[]): readonly boolean[] => {
  const views = createViews();
  return commits.flatMap(({ subject, events }) =>
    events.map((event) => {
      const has = (): boolean => idsIn(event).some((id) => hasLabels(views, id, labels));
      const before = has();
      applyCommit(views, subject, views.position + 1, [event]);
      return before || has();
    }),
  );
};

const plain = <Rows>(rows: Iterable<Rows>): readonly Rows[] => JSON.parse(JSON.stringify([...rows]));

test('labels: the same events as the views say, from the opening and from every other position', () => {
  let shown = 0;
  let all = 0;
  fc.assert(
    fc.property(rolls, wanted, unit, (history, labels, where) => {
      const { commits } = historyOf(history);
      const expected = byTheViews(commits, labels);
      const matcher = new Labelled(labels);
      const events = commits.flatMap((commit) => commit.events);
      assert.deepEqual(
        events.map((event) => matcher.concerns(event)),
        expected,
      );
      shown += expected.filter(Boolean).length;
      all += expected.length;

      const behind = Math.floor(where * commits.length);
      const views = createViews();
      for (const commit of commits.slice(0, behind)) applyCommit(views, commit.subject, commit.position, commit.events);
      const { networks, endpoints, commands } = views.rows;
      const resumed = new Labelled(labels, {
        networks: plain(networks.values()),
        endpoints: plain(endpoints.values()),
        commands: plain(commands.values()),
      });
      const rest = commits.slice(behind).flatMap((commit) => commit.events);
      assert.deepEqual(
        rest.map((event) => resumed.concerns(event)),
        expected.slice(expected.length - rest.length),
      );
    }),
    { numRuns: 60 },
  );
  assert.ok(shown > 500 && shown < all, `${shown} of ${all} events`);
});
