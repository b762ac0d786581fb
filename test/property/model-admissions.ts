/** What networks of the realm have admitted: each creation has its admission ahead of it, and nobody is given what somebody may still create. */
import assert from 'node:assert/strict';
import { commitHeaders, decodeCommit } from '../../events/envelope.ts';
import type { EventData } from '../../events/events.ts';
import { subjects } from '../../events/names.ts';
import type { Realm } from '../../services/lib/realm.ts';
import { batchHeaders, type Message } from '../../services/lib/stream.ts';
import { holdsName, unique } from './model-networks.ts';

type Admitted = EventData<'EndpointAdmitted'>;

/** An admission whose creation may still be stored. */
interface Claim {
  readonly data: Admitted;
  /** It is created by the commit on the subject of its host that is guarded by this position, or never. */
  readonly guard: string;
}

/** The guards that a commit of admissions names, by subject. */
const guardsOf = (message: Message): ReadonlyMap<string, string> => {
  const parts = message.header(commitHeaders.awaits).split(',');
  return new Map(parts.map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]));
};

/** Follows a log, and knows at every position what may still be created. */
export class Claims {
  #open: readonly Claim[] = [];
  readonly #last = new Map<string, number>();

  take(message: Message): void {
    this.#last.set(message.subject, message.position);
    const guards = guardsOf(message);
    const made = decodeCommit(message.body, message.subject).flatMap(({ type, data }): readonly Claim[] => {
      if (type !== 'EndpointAdmitted') return [];
      const guard = guards.get(subjects.host(data.host));
      return guard === undefined ? [] : [{ data, guard }];
    });
    this.#open = [...this.#open, ...made].filter(
      ({ data, guard }) => String(this.#last.get(subjects.host(data.host)) ?? 0) === guard,
    );
  }

  /** Addresses and MACs of what may still be created are nobody else's, and names nobody's on another host: what one commit says is in order. */
  check({ boundaries }: Realm): void {
    const rows = [...boundaries.values()].flatMap(({ host, state }) =>
      [...state.endpoints.values()].map((row) => ({ host: host ?? '', holdsName: holdsName(row), data: row.facts })),
    );
    for (const networkId of new Set(this.#open.map(({ data }) => data.networkId))) {
      const claims = this.#open.map(({ data }) => ({ host: data.host, holdsName: true, data }));
      const all = [...claims, ...rows].filter(({ data }) => data.networkId === networkId);
      for (const key of ['ipv4', 'ipv6', 'mac'] as const)
        unique(
          `${key} that is admitted`,
          all.flatMap(({ data }) => data[key] ?? []),
        );
      const names = all.filter((one) => one.holdsName).map(({ host, data }) => `${data.name.toLowerCase()} on ${host}`);
      unique(
        'name that is admitted',
        [...new Set(names)].map((text) => text.slice(0, text.indexOf(' '))),
      );
    }
  }
}

/** Every creation in a network of the realm is admitted before, with the same name and addresses: in the same batch, or awaited under its guard. */
export const checkAdmissions = (log: readonly Message[]): void => {
  const admitted = new Map<string, { readonly data: Admitted; readonly message: Message }>();
  const realm = new Set<string>();
  const last = new Map<string, number>();
  for (const message of log) {
    for (const { type, data, meta } of decodeCommit(message.body, message.subject)) {
      if (type === 'NetworkCreateRequested' && data.network.scope === 'realm') realm.add(data.network.id);
      if (type === 'EndpointAdmitted') {
        assert.ok(!admitted.has(data.endpointId), 'admitted once');
        admitted.set(data.endpointId, { data, message });
      }
      if (type !== 'EndpointCreateRequested' || !realm.has(data.endpoint.networkId)) continue;
      const { id: endpointId, networkId, name, ipv4, ipv6, mac } = data.endpoint;
      const admission = admitted.get(endpointId) ?? assert.fail(`${name} is created without an admission`);
      assert.deepEqual(admission.data, { endpointId, networkId, name, host: meta.executors, ipv4, ipv6, mac });
      const batch = admission.message.header(batchHeaders.id);
      if (batch !== '') assert.equal(batch, message.header(batchHeaders.id));
      else
        assert.equal(
          guardsOf(admission.message).get(message.subject),
          String(last.get(message.subject) ?? 0),
          'awaited',
        );
    }
    last.set(message.subject, message.position);
  }
};
