// A plugin over TLS at a port of 127.0.0.1: `node over-tls.ts CERT KEY [CLIENT_CA]`. With a CA it wants certificates of its clients.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { onRequest, run } from './serve.ts';

const [cert = '', key = '', clientCa] = process.argv.slice(2);
const files = { cert: readFileSync(cert), key: readFileSync(key) };
const clients = clientCa === undefined ? {} : { ca: readFileSync(clientCa), requestCert: true };
const server = createServer({ ...files, ...clients }, onRequest);
run(server, (done) => server.listen(0, '127.0.0.1', done));
