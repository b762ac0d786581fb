/** How much of what is new is kept before it is swept (V8's young generation): sweeping takes longer where more of it lives. */
import { setFlagsFromString } from 'node:v8';

/**
 * For threads that are started from here on, of which the projector's keeps queries waiting while it sweeps. The calling thread has what it was
 * started with (services/cli/cnm; docs/adr/0013).
 */
export const keepThreadsSmall = (): void => setFlagsFromString('--max-semi-space-size=4');
