/** The program `cnm`. */
import { enableCompileCache } from 'node:module';

// before anything else is loaded: compiled code is kept for the next call, which saves a good part of its start
enableCompileCache();
const { processOutput, runCli } = await import('./run.ts');
const output = processOutput();
const exit = await runCli(output, process.argv.slice(2));
// a pipe that is full takes the rest later; nothing else that is still open is worth waiting for
await output.flushed();
process.exit(exit);
