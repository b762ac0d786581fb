/** The program `cnm`. */
import { processOutput, runCli } from './run.ts';

const output = processOutput();
const exit = await runCli(output, process.argv.slice(2));
// a pipe that is full takes the rest later; nothing else that is still open is worth waiting for
await output.flushed();
process.exit(exit);
