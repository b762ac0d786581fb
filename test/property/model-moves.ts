/** Random histories: what senders, controllers, workers, collectors and the clock do, as data that fast-check can shrink. */
import fc from 'fast-check';
import { commandId, subjects } from '../../events/names.ts';
import { type BoundaryState, cellOf, type NetworkRow, networkOf } from '../../events/state.ts';
import { endpointAnswers, networkAnswers } from '../../events/states.ts';
import { at, type Fate, type Model } from './model.ts';
import { command, ports, realmCommand, sandbox } from './model-commands.ts';
import { cancel, lose } from './model-ends.ts';
import { succeed, tear } from './model-together.ts';

/** Divides evenly by one, two and three. */
const who = fc.nat(5);
const lag = fc.oneof(
  { weight: 2, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 6 }) },
);
const fates = fc.array(
  fc.constantFrom<Fate>('appended', 'appended', 'appended', 'lost', 'unacknowledged', 'late', 'overtaken'),
  { maxLength: 3 },
);
const verdicts = fc.array(fc.constantFrom(true, true, true, false), { maxLength: 4 });
/** What a command is about: just what it says, or something that is there and suits it, by name or by id. */
const aim = fc.constantFrom('said', 'fit', 'fit', 'fit', 'id');

const moveOf = (sent: typeof command | typeof realmCommand) =>
  fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({
        kind: fc.constant('send' as const),
        command: sent as typeof command,
        host: who,
        actor: fc.constantFrom('alice', 'bob'),
        aim,
        pick: fc.nat(5),
        deadlineMs: fc.constantFrom(1_000, 30_000),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('repeat' as const), index: fc.nat(20), altered: fc.boolean() }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('garbage' as const),
        body: fc.constantFrom(
          '',
          '{',
          '[]',
          '{"type":{"toString":1}}',
          '{"type":"Nonsense"}',
          `"${'x'.repeat(70_000)}"`,
        ),
        subject: fc.constantFrom('cnm.command.alice.h1', 'cnm.command.a.b.c.d', 'cnm.command.alice._'),
      }),
    },
    {
      weight: 9,
      arbitrary: fc.record({
        kind: fc.constant('round' as const),
        who,
        take: fc.integer({ min: 1, max: 6 }),
        lag,
        fates,
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), who }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('arrive' as const) }) },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('work' as const),
        who,
        count: fc.integer({ min: 1, max: 5 }),
        lag,
        verdicts,
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('wait' as const),
        ms: fc.constantFrom(10, 1_100, 6_000, 31_000, 301_000, 86_400_000),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('collect' as const) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('cancel' as const), who, pick: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose' as const), who, lag, verdicts }) },
    // Things that happen seldom by themselves: a report that crosses a deadline, a decision that crosses a report, a collection.
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('overrun' as const), who, sandbox, pick: fc.nat(5), verdicts }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('cross' as const),
        who,
        sandbox,
        pick: fc.nat(5),
        isDecidedFirst: fc.boolean(),
        verdicts,
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('idle' as const), confirm: fc.boolean() }) },
    // Commands of different places in one round, and a controller that has read a part of what another one has appended as one.
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('tear' as const),
        who,
        pick: fc.nat(5),
        at: fc.nat(5),
        isByName: fc.boolean(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('succeed' as const), who, host: who, pick: fc.nat(5), fates }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('migrate' as const),
        who,
        sandbox,
        pick: fc.nat(5),
        ports,
        // What has happened to the sandbox when it is asked to move, and what happens to the move.
        isSettled: fc.boolean(),
        end: fc.constantFrom('work', 'work', 'late', 'open'),
        verdicts,
      }),
    },
  );

export type Move = ReturnType<typeof moveOf> extends fc.Arbitrary<infer M> ? M : never;

export const moves = fc.array(moveOf(command), { maxLength: 90, size: 'max' });

/** For hosts that reach each other. */
export const realmMoves = fc.array(moveOf(realmCommand), { maxLength: 70, size: 'max' });

/** What a host sees: its own, and those of the realm. */
const networksIn = ({ networks, shared }: BoundaryState): readonly NetworkRow[] => [
  ...networks.values(),
  ...shared.networks.values(),
];

/** Lets a command be about something that is there and that it may be accepted for. */
const aimed = (state: BoundaryState, { command: sent, aim: how, pick }: Extract<Move, { kind: 'send' }>): object => {
  const ref = ({ facts }: { facts: { id: string; name: string } }): string => (how === 'id' ? facts.id : facts.name);
  const open = networksIn(state).filter(
    ({ status, facts }) => networkAnswers.CreateEndpoint[status] === 'accepted' && !facts.configOnly && !facts.outlet,
  );
  switch (sent.type) {
    case 'UpdateEndpoint':
    case 'JoinEndpoint':
    case 'LeaveEndpoint':
    case 'DeleteEndpoint': {
      const answers = endpointAnswers[sent.type];
      const row = at(
        [...state.endpoints.values()].filter(({ status }) => answers[status] === 'accepted'),
        pick,
      );
      const network = row && networkOf(state, row.facts.networkId);
      return row && network ? { ...sent.data, network: ref(network), endpoint: ref(row) } : sent.data;
    }
    case 'DeleteNetwork': {
      const empty = networksIn(state).filter(({ facts }) => cellOf(state, facts.id)?.endpoints.size === 0);
      const row = at(empty, pick);
      return row ? { network: ref(row) } : sent.data;
    }
    case 'UpdateNetwork':
    case 'CreateEndpoint': {
      const row = at(open, pick);
      return row ? { ...sent.data, network: ref(row) } : sent.data;
    }
    case 'AttachSandbox': {
      const networks = sent.data.networks.slice(0, open.length).map((one, index) => {
        const row = at(open, pick + index);
        return row ? { ...one, network: ref(row) } : one;
      });
      return networks.length > 0 ? { ...sent.data, networks } : sent.data;
    }
    case 'MoveSandbox': {
      const row = at([...state.sandboxes.values()], pick);
      const member = state.endpoints.get(at(row?.members ?? [], pick) ?? '');
      const from = networkOf(state, member?.facts.networkId ?? '');
      const to = at(open, pick + 1);
      if (!row || !from || !to) return sent.data;
      return { sandbox: row.facts.id, from: ref(from), to: { ...sent.data.to, network: ref(to) } };
    }
    case 'DetachSandbox': {
      const row = at([...state.sandboxes.values()], pick);
      return row ? { sandbox: row.facts.id } : sent.data;
    }
    default:
      return sent.data;
  }
};

/** Asks an endpoint that is free to join. */
const askToJoin = (model: Model, host: string, id: string, into: string, pick: number): void => {
  const state = model.stateOf(host);
  const row = at(
    [...state.endpoints.values()].filter(({ status }) => status === 'created'),
    pick,
  );
  const network = networkOf(state, row?.facts.networkId ?? '');
  if (!row || !network) return;
  const data = { network: network.facts.id, endpoint: row.facts.id, sandbox: into };
  const body = { id: commandId(model.nowMs, id), type: 'JoinEndpoint', deadlineMs: 1_000, data };
  model.send(subjects.command('carol', host), JSON.stringify(body));
};

/** The worker reports what it has done before it reads that the time for it is over. */
const overrun = (model: Model, step: Extract<Move, { kind: 'overrun' }>, serial: number): void => {
  const worker = at(model.workers, step.who);
  if (!worker) return;
  model.decide();
  askToJoin(model, worker.host, `o${serial}`, step.sandbox, step.pick);
  model.decide();
  const before = model.log.length;
  model.nowMs += 31_000;
  model.collect();
  model.decide();
  worker.work(9, model.log.length - before, step.verdicts);
};

/** A join and the worker's next reports, each made without knowledge of the other. */
const cross = (model: Model, step: Extract<Move, { kind: 'cross' }>, serial: number): void => {
  const worker = at(model.workers, step.who);
  if (!worker) return;
  model.decide();
  askToJoin(model, worker.host, `x${serial}`, step.sandbox, step.pick);
  const before = model.log.length;
  const decide = () => {
    for (const controller of model.controllers) controller.round(5, model.log.length - before, []);
  };
  if (step.isDecidedFirst) decide();
  worker.work(3, model.log.length - before, step.verdicts);
  if (!step.isDecidedFirst) decide();
};

/** A sandbox is made where there is none, and moves to another network: done, failed, too late, or open for what comes next. */
const migrate = (model: Model, step: Extract<Move, { kind: 'migrate' }>, serial: number): void => {
  const worker = at(model.workers, step.who);
  if (!worker) return;
  const send = (type: string, data: object) => {
    const body = { id: commandId(model.nowMs, `m${serial}${type}`), type, deadlineMs: 1_000, data };
    model.send(subjects.command('carol', worker.host), JSON.stringify(body));
    model.decide();
  };
  model.decide();
  const state = () => model.stateOf(worker.host);
  const networks = networksIn(state()).filter(
    ({ facts, status }) => status === 'active' && !facts.configOnly && !facts.outlet,
  );
  const own = { sandbox: step.sandbox, ports: step.ports };
  if (!state().sandboxIds.has(step.sandbox))
    send('AttachSandbox', {
      ...own,
      networks: [{ network: at(networks, step.pick)?.facts.id ?? 'web', name: `n${serial}` }],
    });
  if (step.isSettled) for (let turn = 0; turn < 8; turn++) if (worker.work(9, 0, [])) model.decide();
  const row = state().sandboxes.get(state().sandboxIds.get(step.sandbox) ?? '');
  const member = state().endpoints.get(at(row?.members ?? [], step.pick) ?? '');
  if (!member) return;
  const { networkId: from } = member.facts;
  const to = at(
    networks.filter(({ facts }) => facts.id !== from),
    step.pick,
  );
  send('MoveSandbox', { sandbox: step.sandbox, from, to: { network: to?.facts.id ?? from, name: `t${serial}` } });
  if (step.end === 'late') {
    const before = model.log.length;
    model.nowMs += 1_100;
    model.collect();
    model.decide();
    worker.work(9, model.log.length - before, step.verdicts);
  } else if (step.end === 'work') worker.work(9, 0, step.verdicts);
};

export const apply = (model: Model, step: Move, serial: number): void => {
  model.nowMs += 1;
  switch (step.kind) {
    case 'send': {
      const host = at(model.workers, step.host)?.host ?? '';
      const data = step.aim === 'said' ? step.command.data : aimed(model.stateOf(host), step);
      const id = commandId(model.nowMs, `c${serial}`);
      const body = JSON.stringify({ id, type: step.command.type, data, deadlineMs: step.deadlineMs });
      // Where there is one host it need not be named. Among several it may be found by what the command is about, and two controllers of
      // which one has read less may find two: only the lease keeps them apart there.
      const named = model.workers.length === 1 && serial % 2 === 0 ? null : host;
      model.send(subjects.command(step.actor, named), body);
      return;
    }
    case 'repeat': {
      const message = at(model.commands, step.index);
      if (!message) return;
      const body = new TextDecoder().decode(message.body);
      model.send(message.subject, step.altered ? body.replace('"web"', '"other"') : body);
      return;
    }
    case 'garbage':
      model.send(step.subject, step.body);
      return;
    case 'round':
      at(model.controllers, step.who)?.round(step.take, step.lag, step.fates);
      return;
    case 'restart':
      at(model.controllers, step.who)?.restart();
      return;
    case 'arrive':
      model.arrive();
      return;
    case 'work':
      at(model.workers, step.who)?.work(step.count, step.lag, step.verdicts);
      return;
    case 'wait':
      model.nowMs += step.ms;
      return;
    case 'collect':
      model.collect();
      return;
    case 'overrun':
      overrun(model, step, serial);
      return;
    case 'cross':
      cross(model, step, serial);
      return;
    case 'migrate':
      migrate(model, step, serial);
      return;
    case 'cancel':
      cancel(model, step, serial);
      return;
    case 'lose':
      lose(model, step, serial);
      return;
    case 'succeed':
      succeed(model, step, serial);
      return;
    case 'tear':
      tear(model, step, serial);
      return;
    case 'idle':
      for (const ms of [301_000, step.confirm ? 5_000 : 100]) {
        model.nowMs += ms;
        model.collect();
        model.decide();
      }
      return;
    default:
      step satisfies never;
  }
};
