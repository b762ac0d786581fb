/** Failpoints of a service: before and after whatever it appends to a stream, and around answers that it sends and plugins that it asks (drivers/kernel/failpoint.ts). */
import { failpoint, type Reach } from '../../drivers/kernel/failpoint.ts';
import { type Append, inFrontOf, type Stream } from './stream.ts';

/** What is appended: `decision`, `realm` and `outcome` to the log; else as its subject says, such as `command` and `lease`. */
const kindOf = ({ subject }: Append): string => {
  const [, first = '', second = ''] = subject.split('.');
  if (first !== 'event') return first;
  return second === 'host' ? 'decision' : second;
};

/** Kinds of what is appended together, each once. */
const kindsOf = (messages: readonly Append[]): string => [...new Set(messages.map(kindOf))].join('+');

const passing = async <T>(reach: Reach, name: string, call: () => Promise<T>): Promise<T> => {
  reach(`${name}:before`);
  const result = await call();
  reach(`${name}:after`);
  return result;
};

const failing = (stream: Stream, service: string, reach: Reach): Stream =>
  inFrontOf(stream, {
    append: (message) => passing(reach, `${service}.append.${kindOf(message)}`, () => stream.append(message)),
    appendAll: (messages) => passing(reach, `${service}.append.${kindsOf(messages)}`, () => stream.appendAll(messages)),
  });

/** What gives the streams of a service their failpoints; without a setting they stay as they are. */
export const failingAppends = (service: string, setting: string | null): ((stream: Stream) => Stream) => {
  if (setting === null) return (stream) => stream;
  const reach = failpoint(setting);
  return (stream) => failing(stream, service, reach);
};

type Publish = (subject: string, body: string) => void;

/** The same for answers, which nobody acknowledges. */
export const failingReplies = (service: string, setting: string | null, publish: Publish): Publish => {
  if (setting === null) return publish;
  const reach = failpoint(setting);
  return (subject, body) => {
    reach(`${service}.reply:before`);
    publish(subject, body);
    reach(`${service}.reply:after`);
  };
};

/** The same for an object whose methods each ask somebody outside: `SERVICE.WHAT.METHOD`. */
export const failingCalls = <T extends object>(who: string, setting: string | null, object: T): T => {
  if (setting === null) return object;
  const reach = failpoint(setting);
  const members = Object.entries(object).map(([name, member]: [string, unknown]) => {
    if (typeof member !== 'function') return [name, member];
    return [name, (...args: unknown[]) => passing(reach, `${who}.${name}`, async () => member.apply(object, args))];
  });
  return Object.fromEntries(members) as T;
};
