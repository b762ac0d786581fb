/** The projector on NATS: queries by request and reply, found by the NATS services protocol. */
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import { decodeToken, encodeToken, subjects } from '../../events/names.ts';
import { describeError } from '../nats/fault.ts';
import { type Endpoint, type Service, type ServiceError, serve } from '../nats/micro.ts';
import { parseQuery, queryNames } from './answer.ts';
import type { Projector } from './projector.ts';
import { QueryFault, queryFaultNumbers } from './query-fault.ts';

export interface ServeOptions {
  readonly version: string;
  readonly realm: string;
  /** The machine that it runs on, for whoever looks for it. */
  readonly host?: string;
  /** How the projector is, for its statistics. */
  readonly health?: () => object | null;
}

const queryPrefix = subjects.query('');
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const refusal = ({ code, message: detail }: QueryFault): ServiceError => ({
  error: {
    code: queryFaultNumbers[code],
    description: `${code}: ${detail}`,
    body: encoder.encode(JSON.stringify({ code, detail })),
  },
});

type Handler = Endpoint['handler'];

const answered =
  (answer: (request: string, subject: string) => Promise<string>): Handler =>
  async (request, _headers, subject) => {
    try {
      return encoder.encode(await answer(decoder.decode(request), subject));
    } catch (error) {
      if (error instanceof QueryFault) return refusal(error);
      throw error;
    }
  };

/**
 * Serves queries until `stop()`. One endpoint takes all of them but what actors ask of their own commands, since a name that is no view deserves an answer too. What is refused has
 * the code in front of `Nats-Service-Error`, and `{code, detail}` as its body.
 */
export const serveQueries = (
  connection: NatsConnection,
  projector: Projector,
  logger: Logger,
  options: ServeOptions,
): Service =>
  serve(connection, {
    name: 'cnm-projector',
    version: options.version,
    description: 'Views of the container networks: queries about now and any moment of the past',
    metadata: {
      realm: options.realm,
      ...(options.host === undefined ? {} : { host: options.host, pid: String(process.pid) }),
    },
    ...(options.health ? { data: options.health } : {}),
    endpoints: [
      {
        name: 'query',
        subject: subjects.query('*'),
        metadata: { views: queryNames.join(','), request: 'Query', response: 'QueryAnswer' },
        handler: answered((request, subject) => projector.answer(subject.slice(queryPrefix.length), request)),
      },
      {
        name: 'own',
        subject: subjects.own('*').replace(encodeToken('*'), '*'),
        metadata: { view: 'commands', request: 'Query', response: 'QueryAnswer' },
        handler: answered(async (request, subject) => {
          const actor = decodeToken(subject.slice(subject.lastIndexOf('.') + 1));
          if (actor === null) throw new QueryFault('QUERY_MALFORMED', `${subject} names no actor`);
          const query = parseQuery(request);
          return projector.answer('commands', JSON.stringify({ ...query, filter: { ...query.filter, actor } }));
        }),
      },
    ],
    onError: (endpoint, error) => logger.error({ endpoint, err: error }, `a query failed: ${describeError(error)}`),
  });
