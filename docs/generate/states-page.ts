/** docs/states.md: the state tables, as deciders and folds read them. */
import { stateMeanings } from '../../events/catalogue.ts';
import {
  endpointAnswers,
  endpointStates,
  endpointTransitions,
  networkAnswers,
  networkStates,
  networkTransitions,
  sandboxAnswers,
  sandboxStates,
  sandboxTransitions,
} from '../../events/states.ts';
import { code, notice, table } from './markdown.ts';

type Answers = Readonly<Record<string, Readonly<Record<string, string>>>>;
type Transitions = Readonly<Record<string, Readonly<Record<string, string>>>>;

interface Machine {
  readonly name: string;
  readonly states: readonly string[];
  readonly meanings: Readonly<Record<string, string>>;
  readonly answers: Answers;
  readonly transitions: Transitions;
  /** What a table cannot say. */
  readonly note: string;
}

const machines: readonly Machine[] = [
  {
    name: 'network',
    states: networkStates,
    meanings: stateMeanings.network,
    answers: networkAnswers,
    transitions: networkTransitions,
    note: 'CreateNetwork is asked of the state of whoever holds the name. An accepted DeleteNetwork has no endpoints in its way but such as are being deleted (NETWORK_HAS_ENDPOINTS). UpdateNetwork moves no state: its settings hold from its acceptance on, and those before again if it fails.',
  },
  {
    name: 'endpoint',
    states: endpointStates,
    meanings: stateMeanings.endpoint,
    answers: endpointAnswers,
    transitions: endpointTransitions,
    note: 'CreateEndpoint is asked of the state of whoever holds the name. A collector may suspect and collect an endpoint in state `created` only. UpdateEndpoint moves no state. Where the deletion is part of a move it is reverted together with the leave, whichever is reported first, and the endpoint is `joined` again.',
  },
  {
    name: 'sandbox',
    states: sandboxStates,
    meanings: stateMeanings.sandbox,
    answers: sandboxAnswers,
    transitions: sandboxTransitions,
    note: 'A failed join or a leave moves the sandbox only when no other endpoint is in it. A join in state `removing` makes another sandbox of the same name. While a sandbox moves to another network, it and its endpoints take no other command (SANDBOX_MOVING). Its default routes are carried, each family by itself, by the endpoint with the highest gateway priority among those whose network has a gateway of that family and is not internal, of equal ones by the first that joined; so one that joins later takes over only with a higher priority, and when the gateway leaves or fails the next takes over.',
  },
];

const answersTable = ({ states, answers }: Machine): string =>
  table(
    ['command', ...states],
    Object.entries(answers).map(([command, row]) => [
      command,
      ...states.map((state) => (row[state] === 'accepted' ? 'accepted' : code(row[state] ?? ''))),
    ]),
  );

const transitionsTable = ({ states, transitions }: Machine): string => {
  const events = [...new Set(states.flatMap((state) => Object.keys(transitions[state] ?? {})))];
  return table(
    ['event', ...states],
    events.map((event) => [event, ...states.map((state) => transitions[state]?.[event] ?? '')]),
  );
};

const section = (machine: Machine): string => `## ${machine.name}

${table(
  ['state', 'meaning'],
  machine.states.map((state) => [state, machine.meanings[state] ?? '']),
)}
What a command meets:

${answersTable(machine)}
Where an event leads; nowhere where nothing stands:

${transitionsTable(machine)}
${machine.note}
`;

export const statesPage = (): string => `${notice('events/states.ts')}# States

Commands are decided against desired state: \`joining\` means that a join is accepted and not yet reported. So commands may follow each other
without waiting. An outcome counts for a state only when it reports on the latest intent; an earlier one that comes late changes nothing,
except that a failed creation always ends the thing. What else may speak against a command that is accepted here is in [errors.md](errors.md).

${machines.map(section).join('\n')}`;
