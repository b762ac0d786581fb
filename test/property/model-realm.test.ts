// Random histories over networks that are on three hosts at once, and two controllers that decide at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeCommit } from '../../events/envelope.ts';
import { networkOf } from '../../events/state.ts';
import { PeerView } from '../../projections/peers.ts';
import { Model } from './model.ts';
import { checkAdmissions } from './model-admissions.ts';
import { realmMoves } from './model-moves.ts';
import { playTogether } from './model-play.ts';
import { rest } from './model-rest.ts';

const hosts = ['h1', 'h2', 'h3'];
const numRuns = Number(process.env.MODEL_RUNS ?? 120);

/** What the reports of other hosts add up to, after quiet: whoever is in a sandbox there, and nobody else but who could not be taken out. */
const checkPeers = (model: Model, own: string): void => {
  const view = new PeerView(own);
  for (const { subject, body } of model.log) {
    const [, family, host = ''] = subject.split('.');
    for (const event of decodeCommit(body, subject)) {
      if (family === 'outcome') view.apply(host, event);
      else if (event.type === 'PeersForgotten') view.apply(event.data.host, event);
    }
  }
  const located = hosts.flatMap((host) => {
    if (host === own) return [];
    const state = model.stateOf(host);
    return [...state.endpoints.values()]
      .filter(({ facts }) => networkOf(state, facts.networkId)?.facts.scope === 'realm')
      .map(({ facts, status }) => ({
        status,
        text: [facts.networkId, facts.id, host, facts.ipv4, facts.mac].join(' '),
      }));
  });
  const shown = [...model.checker.realm.shared.networks.values()].flatMap(({ facts }) =>
    [...view.of(facts.id).values()].map((row) =>
      [row.networkId, row.endpointId, row.host, row.ipv4, row.mac].join(' '),
    ),
  );
  const stuck = new Set(located.flatMap(({ status, text }) => (status === 'stuck' ? [text] : [])));
  const joined = located.flatMap(({ status, text }) => (status === 'joined' ? [text] : []));
  assert.deepEqual(shown.filter((text) => !stuck.has(text)).sort(), joined.sort());
};

test('three hosts that reach each other, two controllers that decide at once', () => {
  fc.assert(
    fc.property(realmMoves, (steps) => {
      const model = new Model(2, hosts, 'together');
      playTogether(model, steps);
      rest(model);
      checkAdmissions(model.log);
      for (const host of hosts) checkPeers(model, host);
    }),
    { numRuns },
  );
});
