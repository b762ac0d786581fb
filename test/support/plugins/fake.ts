// Plugins that are functions: what they are asked is seen, and what they answer is checked as a real one's answer is.
import { setImmediate } from 'node:timers/promises';
import { Listeners } from '../../../services/lib/listeners.ts';
import { type Activation, activate, faultOfSide } from '../../../services/plugins/activation.ts';
import { interpret } from '../../../services/plugins/caller.ts';
import { type Called, faults } from '../../../services/plugins/fault.ts';
import { type GoValue, goJson } from '../../../services/plugins/go-json.ts';
import { ipamPlugin } from '../../../services/plugins/ipam-plugin.ts';
import { networkPlugin } from '../../../services/plugins/network-plugin.ts';
import type { Asking } from '../../../services/plugins/plugin.ts';
import type { CallOptions, Plugins } from '../../../services/plugins/plugins.ts';
import { wellAnswer } from './behaviour.ts';

export interface FakeAsked {
  readonly plugin: string;
  readonly method: string;
  /** As it was parsed; null: an empty body. */
  readonly body: unknown;
}

/** The answer; `{ Err }` is an error. Undefined: that of a plugin that does well. A promise that stays open: a plugin that hangs. */
export type FakeAnswer = (asked: FakeAsked) => unknown;

export interface FakePlugins extends Plugins {
  readonly asked: readonly FakeAsked[];
  /** The plugin is there from now on. */
  come(name: string): void;
  /** It is gone: calls are not answered, and the next time it has to be activated anew. */
  go(name: string): void;
}

const never = new AbortController().signal;

/** What the promise answers, or null when the caller gives up first. */
const unless = <T>(promise: Promise<T>, { signal = never }: CallOptions): Promise<T | null> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(null);
    signal.addEventListener('abort', () => resolve(null), { once: true });
    promise.then(resolve);
  });

export const fakePlugins = (given: readonly string[], answer: FakeAnswer = () => undefined): FakePlugins => {
  const there = new Set(given);
  const asked: FakeAsked[] = [];
  const activations = new Map<string, Activation>();
  const toldOfChanges = new Listeners<[]>();
  const toldOfActivations = new Listeners<[name: string]>();

  /** The body of the answer; null: there was none. */
  const ask = async (
    plugin: string,
    method: string,
    sent: { readonly [field: string]: GoValue } | null,
    options: CallOptions,
  ) => {
    if (!there.has(plugin)) return null;
    const question = { plugin, method, body: sent === null ? null : JSON.parse(goJson(sent)) };
    asked.push(question);
    // Never within the turn of the caller: a plugin is another process.
    const answering = setImmediate().then(() => answer(question));
    const said = await unless(answering, options);
    if (said === null) return null;
    return said === undefined ? wellAnswer(method) : JSON.stringify(said);
  };

  const asking = (name: string): Asking => {
    const gone = (method: string): Called<never> => ({
      ok: false,
      fault: faults.unreachable(`${method} of plugin ${name}`, 'not there'),
    });
    const activation = async (options: CallOptions): Promise<Called<Activation>> => {
      const known = activations.get(name);
      if (known !== undefined) return { ok: true, value: known };
      const activated = await activate(async (method, schema) => {
        const body = await ask(name, method, null, options);
        return body === null ? gone(method) : interpret(`${method} of plugin ${name}`, { status: 200, body }, schema);
      });
      if (!activated.ok) return activated;
      activations.set(name, activated.value);
      toldOfActivations.tell(name);
      return activated;
    };
    return {
      name,
      activation,
      call: async ({ side, method, body, answer: schema, absent }, options) => {
        const whole = `${side}.${method}`;
        const step = `${whole} of plugin ${name}`;
        if (!there.has(name)) return gone(whole);
        const activated = await activation(options);
        if (!activated.ok) return activated;
        const unusable = faultOfSide(step, side, activated.value);
        if (unusable !== null) return unusable;
        const said = await ask(name, whole, body, options);
        return said === null ? gone(whole) : interpret(step, { status: 200, body: said }, schema, absent);
      },
    };
  };

  const changed = (): void => {
    toldOfChanges.tell();
  };
  return {
    asked,
    come: (name) => {
      there.add(name);
      changed();
    },
    go: (name) => {
      there.delete(name);
      activations.delete(name);
      changed();
    },
    names: () => [...there].sort(),
    onChange: (run, signal) => toldOfChanges.add(run, signal),
    onActivated: (run, signal) => toldOfActivations.add(run, signal),
    network: (name) => networkPlugin(asking(name)),
    ipam: (name) => ipamPlugin(asking(name)),
    close: async () => {},
  };
};
