/** Commands about several hosts that are decided in one round. */
import { commandId, subjects } from '../../events/names.ts';
import { endpointAnswers } from '../../events/states.ts';
import { at, type Fate, type Model } from './model.ts';

interface Tear {
  readonly who: number;
  readonly pick: number;
  readonly at: number;
  readonly isByName: boolean;
}

interface Succession {
  readonly who: number;
  readonly host: number;
  readonly pick: number;
  readonly fates: readonly Fate[];
}

/** Endpoints in networks of the realm that may be deleted. */
const deletable = (model: Model) =>
  model.workers.flatMap(({ host }) => {
    const state = model.stateOf(host);
    return [...state.endpoints.values()].flatMap(({ facts, status }) => {
      const network = state.shared.networks.get(facts.networkId);
      return network && endpointAnswers.DeleteEndpoint[status] === 'accepted' ? [{ facts, network, host }] : [];
    });
  });

/** The end of an endpoint and the creation of one of the same name on another host are decided together. */
export const succeed = (model: Model, step: Succession, serial: number): void => {
  model.decide();
  const chosen = at(deletable(model), step.pick);
  if (!chosen) return;
  const { facts, network, host } = chosen;
  const other = at(
    model.workers.filter((worker) => worker.host !== host),
    step.host,
  );
  const send = (type: string, to: string, data: object) =>
    model.send(
      subjects.command('erin', to),
      JSON.stringify({ id: commandId(model.nowMs, `s${serial}${type}`), type, data }),
    );
  send('DeleteEndpoint', host, { network: network.facts.id, endpoint: facts.id });
  send('CreateEndpoint', other?.host ?? host, { network: network.facts.id, name: facts.name });
  at(model.controllers, step.who)?.round(5, 0, step.fates);
};

/** The end of an endpoint and that of its network are decided together, and another controller decides in the middle of what is appended. */
export const tear = (model: Model, step: Tear, serial: number): void => {
  const [one, other] = [at(model.controllers, step.who), at(model.controllers, step.who + 1)];
  if (!one || !other || one === other) return;
  model.decide();
  const chosen = at(deletable(model), step.pick);
  if (!chosen) return;
  const { facts, network } = chosen;
  const ref = step.isByName ? network.facts.name : network.facts.id;
  const send = (type: string, data: object) => {
    const body = { id: commandId(model.nowMs, `r${serial}${type}`), type, data };
    model.send(subjects.command('dora', null), JSON.stringify(body));
  };
  send('DeleteEndpoint', { network: ref, endpoint: facts.name });
  send('DeleteNetwork', { network: ref });
  send('CreateNetwork', { name: network.facts.name, driver: 'overlay' });
  const before = model.log.length;
  one.round(5, 0, []);
  const appended = model.log.length - before;
  other.round(5, appended > 1 ? 1 + (step.at % (appended - 1)) : 0, []);
};
