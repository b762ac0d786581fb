/** What two hosts encrypt with, out of the secret that both have and of what the log says of them: nothing is agreed upon, and no key travels. */
import { hkdfSync } from 'node:crypto';
import type { KeyedAssociation } from '../../drivers/port.ts';

/** A host as its latest statement has it (HostFacts). */
export interface Side {
  readonly host: string;
  /** IPv4. */
  readonly address: string;
  readonly bootId: string;
  readonly epoch: number;
}

/** What keys are for, beside two hosts. */
export interface Era {
  readonly realm: string;
  /** Id of the log (RealmOpened): one that begins anew counts epochs anew. */
  readonly log: string;
  readonly generation: number;
}

/** 32 bytes for AES-256, 4 of salt (RFC 4106), 4 for the number. */
const [keyBytes, spiBytes] = [36, 4];

/** Numbers up to 255 are reserved (RFC 4303, 2.1). */
const spiLeast = 256;

const label = 'cnm tunnel keys 1';

const sideOf = ({ host, address, bootId, epoch }: Side): readonly unknown[] => [host, address, bootId, epoch];

/**
 * What packets from one host to another are encrypted with: HKDF-SHA256 (RFC 5869) over all that makes it the only one of its kind, which
 * is what AES-GCM depends on. Each worker of either host states another epoch, so none is ever used by two.
 */
export const associationOf = (
  secret: Uint8Array,
  { realm, log, generation }: Era,
  from: Side,
  to: Side,
): KeyedAssociation => {
  const info = JSON.stringify([realm, log, generation, sideOf(from), sideOf(to)]);
  const bytes = Buffer.from(hkdfSync('sha256', secret, label, info, keyBytes + spiBytes));
  return {
    source: from.address,
    destination: to.address,
    spi: spiLeast + (bytes.readUInt32BE(keyBytes) % (2 ** 32 - spiLeast)),
    key: bytes.toString('hex', 0, keyBytes),
  };
};
