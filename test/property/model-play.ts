/** Histories from their beginning on. */
import { commandId } from '../../events/names.ts';
import type { Model } from './model.ts';
import { apply, type Move } from './model-moves.ts';

/** A history on hosts that reach each other: it begins with a small network on all of them, and an endpoint in it on each. */
export const playTogether = (model: Model, steps: readonly Move[]): void => {
  const [first] = model.workers;
  const send = (host: string, type: string, data: object) =>
    model.send(
      `cnm.command.alice.${host}`,
      JSON.stringify({ id: commandId(model.nowMs, `${host}/${type}${model.commands.length}`), type, data }),
    );
  if (first)
    send(first.host, 'CreateNetwork', {
      name: 'span',
      driver: 'overlay',
      ipam: { subnets: [{ subnet: '10.7.0.0/29' }] },
    });
  for (const { host } of model.workers) {
    send(host, 'CreateNetwork', { name: 'web', gc: 1_000 });
    send(host, 'CreateEndpoint', { network: 'span', name: host });
  }
  for (const [serial, step] of steps.entries()) apply(model, step, serial);
};

/** A history that begins with a small network and an endpoint on each host. */
export const play = (model: Model, steps: readonly Move[]): void => {
  for (const { host } of model.workers) {
    const subnets = [{ subnet: '10.1.0.0/29' }];
    const send = (type: string, data: object) =>
      model.send(
        `cnm.command.alice.${host}`,
        JSON.stringify({ id: commandId(model.nowMs, `${host}/${type}${model.commands.length}`), type, data }),
      );
    send('CreateNetwork', { name: 'web', gc: 1_000, ipam: { subnets } });
    send('CreateNetwork', { name: 'back' });
    send('CreateNetwork', { name: 'db', driver: 'deep' });
    send('CreateEndpoint', { network: 'web', name: 'a' });
  }
  for (const [serial, step] of steps.entries()) apply(model, step, serial);
};
