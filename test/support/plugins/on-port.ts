// A plugin over plain TCP at a port of 127.0.0.1: `node on-port.ts`.
import { createServer } from 'node:http';
import { onRequest, run } from './serve.ts';

const server = createServer(onRequest);
run(server, (done) => server.listen(0, '127.0.0.1', done));
