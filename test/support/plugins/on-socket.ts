// A plugin on a unix socket: `node on-socket.ts PATH`. A socket that another one has left behind is replaced.
import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { onRequest, run } from './serve.ts';

const path = process.argv[2] ?? '';
rmSync(path, { force: true });
const server = createServer(onRequest);
run(server, (done) => server.listen(path, done));
