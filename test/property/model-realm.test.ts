// Random histories over networks that are on three hosts at once, and two controllers that decide at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeCommit } from '../../events/envelope.ts';
import { networkOf } from '../../events/state.ts';
import { PeerView } from '../../projections/peers.ts';
import { batchHeaders } from '../../services/lib/stream.ts';
import { Model } from './model.ts';
import { realmMoves } from './model-moves.ts';
import { playTogether } from './model-play.ts';
import { rest } from './model-rest.ts';

const hosts = ['h1', 'h2', 'h3'];
const numRuns = Number(process.env.MODEL_RUNS ?? 120);

/** Every creation in a network of the realm is admitted in the same batch, with the same name and addresses, and nothing else is. */
const checkAdmissions = (model: Model): void => {
  const admitted = new Map<string, { readonly batch: string; readonly data: object }>();
  const created = new Map<string, { readonly batch: string; readonly data: object }>();
  const realm = new Set<string>();
  for (const message of model.log) {
    const batch = message.header(batchHeaders.id);
    for (const { type, data, meta } of decodeCommit(message.body, message.subject)) {
      if (type === 'NetworkCreateRequested' && data.network.scope === 'realm') realm.add(data.network.id);
      if (type === 'EndpointAdmitted') {
        assert.ok(!admitted.has(data.endpointId), 'admitted once');
        admitted.set(data.endpointId, { batch, data });
      }
      if (type !== 'EndpointCreateRequested' || !realm.has(data.endpoint.networkId)) continue;
      const { id: endpointId, networkId, name, ipv4, ipv6, mac } = data.endpoint;
      created.set(endpointId, { batch, data: { endpointId, networkId, name, host: meta.executors, ipv4, ipv6, mac } });
    }
  }
  assert.deepEqual(admitted, created);
};

/** What the reports of other hosts add up to, after quiet: whoever is in a sandbox there, and nobody else but who could not be taken out. */
const checkPeers = (model: Model, own: string): void => {
  const view = new PeerView(own);
  for (const { subject, body } of model.log) {
    const [, family, host = ''] = subject.split('.');
    if (family === 'outcome') for (const event of decodeCommit(body, subject)) view.apply(host, event);
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
      checkAdmissions(model);
      for (const host of hosts) checkPeers(model, host);
    }),
    { numRuns },
  );
});
