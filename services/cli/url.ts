/** `cnm url`: where the server is, with what it lets us in by, for programs of one's own. */
import { serverUrl } from './context.ts';
import type { Spec } from './spec.ts';

const url: Spec = {
  path: 'url',
  args: [],
  summary: 'where the server is, with its password where it has one: CNM_NATS_URL for programs of your own',
  options: {},
  run: async (_call, context) => {
    context.out(`${serverUrl(context.config)}\n`);
    return undefined;
  },
};

export const urlSpecs: readonly Spec[] = [url];
