/** Where a plugin listens: what stands in its `.spec` or `.json` file, read as Docker reads it. */
import { z } from 'zod';
import { goFlag, goStruct, goText } from './go-json.ts';

export interface Tls {
  /** Whoever has the address is the plugin. */
  readonly insecure: boolean;
  /** Files; null: none. */
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

export type Address =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls: Tls | null };

export type AddressRead =
  | { readonly ok: true; readonly address: Address }
  | { readonly ok: false; readonly problem: string };

/** Without a CAFile there is nothing to check a certificate against, so none is checked: Docker's rule. */
const TlsConfig = goStruct({ InsecureSkipVerify: goFlag, CAFile: goText, CertFile: goText, KeyFile: goText }).transform(
  ({ InsecureSkipVerify, CAFile, CertFile, KeyFile }): Tls => ({
    insecure: InsecureSkipVerify || CAFile === '',
    ca: CAFile || null,
    cert: CertFile || null,
    key: KeyFile || null,
  }),
);

/** `Name` is not read: the name of the file is the plugin's. */
const JsonFile = goStruct({ Addr: goText, TLSConfig: TlsConfig.optional() });

const noTls: Tls = { insecure: true, ca: null, cert: null, key: null };
const usualPorts: Readonly<Record<string, number>> = { http: 80, https: 443 };

const problem = (text: string): AddressRead => ({ ok: false, problem: text });

/** `unix://PATH`, `tcp://HOST:PORT`, `http://` and `https://HOST[:PORT]`. TLS is spoken with `https` alone; a path behind it is ignored. */
export const readUrl = (text: string, tls: Tls = noTls): AddressRead => {
  const [, scheme = '', rest = ''] = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/.exec(text) ?? [];
  if (scheme === '')
    return problem(`Unknown protocol: ${JSON.stringify(text)} has no unix://, tcp://, http:// or https://`);
  if (scheme === 'unix') {
    if (!rest.startsWith('/')) return problem(`${JSON.stringify(text)} has no absolute path`);
    return { ok: true, address: { kind: 'unix', path: rest } };
  }
  if (scheme !== 'tcp' && scheme !== 'http' && scheme !== 'https') return problem(`Unknown protocol: ${scheme}`);
  // An URL of any scheme but these leaves out no port; it has none by the name of tcp.
  const url = URL.parse(`http://${rest}`);
  if (url === null || url.hostname === '') return problem(`${JSON.stringify(text)} has no host`);
  const stated = /:(\d+)$/.exec(rest.split('/')[0] ?? '')?.[1];
  const port = stated === undefined ? usualPorts[scheme] : Number(stated);
  if (port === undefined) return problem(`${JSON.stringify(text)} has no port`);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { ok: true, address: { kind: 'tcp', host, port, tls: scheme === 'https' ? tls : null } };
};

/** The text of a `.spec` file: one URL. */
export const readSpec = (text: string): AddressRead => readUrl(text.trim());

/** The text of a `.json` file. */
export const readJson = (text: string): AddressRead => {
  try {
    const { Addr, TLSConfig } = JsonFile.parse(JSON.parse(text));
    return readUrl(Addr, TLSConfig);
  } catch (error) {
    if (error instanceof z.ZodError) return problem(z.prettifyError(error));
    if (error instanceof SyntaxError) return problem(`no JSON: ${error.message}`);
    throw error;
  }
};
