import type { KernelFacts } from '../port.ts';
import type { Host } from './host.ts';
export const readFacts = (_host: Host): KernelFacts => {
  throw new Error('todo');
};
