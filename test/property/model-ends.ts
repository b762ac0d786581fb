/** Moves of a model that end what is under way: a command that its sender wants no more, and a host that does not come back with what it had. */
import { commandId, subjects } from '../../events/names.ts';
import { at, type Model } from './model.ts';
import type { Lag } from './model-worker.ts';

/** Somebody cancels a command of his own that is under way. */
export const cancel = (model: Model, step: { readonly who: number; readonly pick: number }, serial: number): void => {
  const host = at(model.workers, step.who)?.host ?? '';
  const record = at([...model.stateOf(host).progress.values()], step.pick);
  if (!record) return;
  const body = {
    id: commandId(model.nowMs, `z${serial}`),
    type: 'CancelCommand',
    data: { commandId: record.commandid },
  };
  model.send(subjects.command(record.actor, host), JSON.stringify(body));
};

interface Loss {
  readonly who: number;
  readonly lag: Lag;
  readonly verdicts: readonly boolean[];
}

/**
 * A host is declared lost while its worker goes on for a while, and is back. Everything else is decided before and behind it: where a command is
 * decided follows from which hosts there are, and what keeps two controllers apart in that are terms, which a model has none of.
 */
export const lose = (model: Model, { who, lag, verdicts }: Loss, serial: number): void => {
  const worker = at(model.workers, who);
  if (!worker) return;
  while (model.late.length > 0) model.arrive();
  model.decide();
  const { host } = worker;
  const epoch = model.stateOf(host).facts.get('host')?.epoch ?? 0;
  const send = (type: string, data: object): void => {
    const id = commandId(model.nowMs, `l${serial}${type}`);
    model.send(subjects.command('operator', host), JSON.stringify({ id, type, data }));
  };
  send('LapseHost', { host, epoch, since: new Date(model.nowMs).toISOString() });
  send('DeclareHostLost', { host, reason: 'gone' });
  model.decide();
  // It has not read of it yet.
  worker.work(9, 2 + lag, verdicts);
  worker.comeBack();
  for (const controller of model.controllers) controller.fold(0);
};
