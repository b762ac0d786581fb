// A plugin of tests that is a function, and makes links: one for each Join, on whatever machine it is told of, gone with DeleteEndpoint.
import { type FakeAnswer, type FakeAsked, type FakePlugins, fakePlugins } from './fake.ts';

/** Where links come and go. */
export interface Machine {
  addLink(name: string): unknown;
  removeLink(name: string): unknown;
}

/** By method: what is answered instead; undefined: as ever. */
export type Answers = Readonly<Record<string, (asked: FakeAsked) => unknown>>;

export interface LinkPlugins extends FakePlugins {
  /** From now on. */
  answers: Answers;
  /** Methods of a plugin that were asked so far but for the handshake, without their interface: `Join`. */
  methods(plugin?: string): readonly string[];
  /** Forgets what was asked. */
  reset(): void;
}

interface Ids {
  readonly EndpointID?: string;
}

export const linkOf = ({ EndpointID = '' }: Ids): string => `pv${EndpointID.slice(0, 12)}`;

export const linkPlugins = (names: readonly string[], machine: Machine, answers: Answers = {}): LinkPlugins => {
  let from = 0;
  const answer: FakeAnswer = (asked) => {
    const { method, body } = asked;
    const link = linkOf((body ?? {}) as Ids);
    const said = plugins.answers[method]?.(asked);
    if (said !== undefined) return said;
    if (method === 'NetworkDriver.Join') machine.addLink(link);
    if (method === 'NetworkDriver.DeleteEndpoint') machine.removeLink(link);
    if (method === 'NetworkDriver.Join') return { InterfaceName: { SrcName: link, DstPrefix: 'eth' } };
    return undefined;
  };
  const plugins: LinkPlugins = Object.assign(fakePlugins(names, answer), {
    answers,
    methods: (plugin = names[0]) =>
      plugins.asked
        .slice(from)
        .filter((asked) => asked.plugin === plugin && !/Activate$|GetCapabilities$/.test(asked.method))
        .map(({ method }) => method.slice(method.indexOf('.') + 1)),
    reset: () => {
      from = plugins.asked.length;
    },
  });
  return plugins;
};

/** Never answers. */
export const hangs = (): Promise<never> => new Promise(() => undefined);

/** A plugin `weave` whose links lie on the machine, and whose joins say where the default route goes. */
export const weaveOn = (machine: { addForeign(key: string): void; removeForeign(key: string): void }): LinkPlugins => {
  const plugins = linkPlugins(['weave'], {
    addLink: (name) => machine.addForeign(`link ${name}`),
    removeLink: (name) => machine.removeForeign(`link ${name}`),
  });
  plugins.answers = {
    'NetworkDriver.Join': ({ body }) => {
      const link = linkOf(body as Record<string, never>);
      machine.addForeign(`link ${link}`);
      return { InterfaceName: { SrcName: link, DstPrefix: 'eth' }, Gateway: '10.50.0.1' };
    },
  };
  return plugins;
};
