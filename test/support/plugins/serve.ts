// The body of a plugin program. It is told what to do by lines of JSON on its standard input, and tells what it was asked on its standard output.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Server } from 'node:net';
import { createInterface } from 'node:readline';
import { type Asked, type Behaviour, type Behaviours, type Exchange, wellAnswer } from './behaviour.ts';

/** A line of the standard input: `behaviours` replace the ones before, `answers` are given in order and come first. */
export interface Order {
  readonly behaviours?: Behaviours;
  readonly answers?: readonly Pick<Exchange, 'status' | 'answer'>[];
}
/** A line of the standard output. */
export type Told = { readonly ready: number | null } | { readonly obeyed: true } | { readonly asked: Asked };

let behaviours: Behaviours = {};
let answers: Pick<Exchange, 'status' | 'answer'>[] = [];

const tell = (told: Told): void => {
  process.stdout.write(`${JSON.stringify(told)}\n`);
};

const answer = (response: ServerResponse, status: number, body: string): void => {
  response.writeHead(status, { 'Content-Type': 'application/vnd.docker.plugins.v1.2+json' });
  response.end(body);
};

export const behaviourOf = (method: string): Behaviour => behaviours[method] ?? behaviours['*'] ?? { kind: 'well' };

const act = (request: IncomingMessage, response: ServerResponse, method: string): void => {
  const next = answers.shift();
  if (next !== undefined) {
    answer(response, next.status, `${JSON.stringify(next.answer)}\n`);
    return;
  }
  const does = behaviourOf(method);
  if (does.kind === 'well') answer(response, 200, wellAnswer(method));
  if (does.kind === 'says') answer(response, does.status ?? 200, does.body);
  if (does.kind === 'slow') setTimeout(() => answer(response, 200, wellAnswer(method)), does.ms);
  if (does.kind === 'crashes') process.exit(1);
  if (does.kind === 'raw') request.socket.end(does.bytes);
  if (does.kind === 'cuts' && !does.begun) request.socket.destroy();
  if (does.kind === 'cuts' && does.begun) {
    response.writeHead(200, { 'Content-Length': '100' });
    response.write('{"half":', () => request.socket.destroy());
  }
};

export const onRequest: RequestListener = (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const method = (request.url ?? '').slice(1);
    const { host, accept, 'content-type': type, 'content-length': length } = request.headers;
    const headers = { host, accept, 'content-type': type, 'content-length': length };
    tell({ asked: { method, verb: request.method ?? '', body: Buffer.concat(chunks).toString('utf8'), headers } });
    act(request, response, method);
  });
};

/** Begins to listen, and lives until its standard input ends: as long as the test does. */
export const run = (server: Server, listen: (done: () => void) => void): void => {
  const input = createInterface({ input: process.stdin });
  input.on('line', (line) => {
    const order = JSON.parse(line) as Order;
    behaviours = order.behaviours ?? behaviours;
    answers = [...answers, ...(order.answers ?? [])];
    tell({ obeyed: true });
  });
  input.on('close', () => process.exit(0));
  listen(() => {
    const address = server.address();
    tell({ ready: typeof address === 'object' ? (address?.port ?? null) : null });
  });
};
