/** `cnm command`: cancel. What became of a command is in `cnm history command`. */
import { sendAndTell, sendOptions } from './context.ts';
import type { Spec } from './spec.ts';

const cancel: Spec = {
  path: 'command cancel',
  args: ['COMMANDID'],
  summary: 'end a command of yours that is under way; what was made for it is taken back',
  options: { reason: { value: 'TEXT', help: 'why; it stands in the log' }, ...sendOptions },
  run: async (call, context) => {
    const [commandId = ''] = call.args;
    const reason = call.text('reason');
    return sendAndTell(call, context, {
      what: `command ${commandId}`,
      send: (sender, options) =>
        sender.cancelCommand({ commandId, ...(reason === undefined ? {} : { reason }) }, options),
      done: `cancelled ${commandId}`,
    });
  },
};

export const commandSpecs: readonly Spec[] = [cancel];
