/** A program: runs a command in the network namespace at a path, by becoming it. `enter.ts PATH CMD...` */
import { execIn } from '../../drivers/kernel/exec.ts';
import { environment } from '../lib/config.ts';

const [path = '', ...command] = process.argv.slice(2);
execIn(path, command, environment());
