/**
 * The fourth thread: it makes namespaces ahead for the one that sets up. While that one is at work it does so only where few are left, as in a
 * burst, which thus has a second processor for half of its work. It waits for nothing but somebody's call.
 */
import { workerData } from 'node:worker_threads';
import { isFailure } from './failure.ts';
import { batchBytes, threadNamespace } from './host.ts';
import { C, check, close, open } from './libc.ts';
import type { ThreadOptions } from './protocol.ts';
import { schedule } from './scheduling.ts';
import { type Maker, makeSpare } from './spare.ts';
import { type Spare, Spares } from './spares.ts';
import { MessageWriter } from './writer.ts';

const { options } = workerData as { readonly options: ThreadOptions };
const spares = new Spares(options.spares);

// Behind whoever decides what needs them: where there are none left, the other thread makes one itself.
schedule({ nice: -5, sliceMs: 0.2 });

const maker: Maker = {
  realm: options.realm,
  host: options.host,
  writer: new MessageWriter(batchBytes),
  home: check(open(threadNamespace, C.O_RDONLY | C.O_CLOEXEC, 0), `open ${threadNamespace}`),
  away: false,
};

/** What cannot be made now, is made when it is needed, and it is said then why it cannot. */
const make = (): Spare | null => {
  try {
    return makeSpare(maker, options.resolverPort ?? null);
  } catch (error) {
    if (!isFailure(error) || maker.away) throw error;
    return null;
  }
};

spares.serve(make);
close(maker.home);
process.exit(0);
