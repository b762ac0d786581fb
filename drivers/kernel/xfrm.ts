/** Encoder of states of ESP: XFRM_MSG_NEWSA (linux/xfrm.h), in the one form that encrypted tunnels use. */
import { AF, XFRM } from './constants.ts';
import type { MessageWriter } from './writer.ts';

export interface NewState {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly spi: number;
  /** Key of AES and the 4 bytes of salt behind it (RFC 4106): 20 or 36 bytes. */
  readonly key: Uint8Array;
}

/** struct xfrm_usersa_info: selector 56 bytes, id at 56, source at 80, limits at 96, family at 212. */
const at = {
  destination: 56,
  spi: 72,
  protocol: 76,
  source: 80,
  limits: 96,
  limitsEnd: 128,
  family: 212,
  mode: 214,
} as const;
const infoBytes = 224;

/** struct xfrm_algo_aead: name in 64 bytes, lengths of key and check value in bits, key. */
const aead = (key: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(72 + key.length);
  bytes.set(new TextEncoder().encode('rfc4106(gcm(aes))'));
  const view = new DataView(bytes.buffer);
  view.setUint32(64, key.length * 8, true);
  view.setUint32(68, 128, true);
  bytes.set(key, 72);
  return bytes;
};

/** A state between two IPv4 addresses, transport mode, without limits of its life. */
export const newState = (w: MessageWriter, { source, destination, spi, key }: NewState): void => {
  const start = w.begin(XFRM.NEWSA, 0, infoBytes);
  w.bytes.set(destination, start + at.destination);
  w.bytes.set([spi >>> 24, (spi >>> 16) & 255, (spi >>> 8) & 255, spi & 255], start + at.spi);
  w.poke8(start + at.protocol, XFRM.ESP);
  w.bytes.set(source, start + at.source);
  w.bytes.fill(255, start + at.limits, start + at.limitsEnd);
  w.poke8(start + at.family, AF.INET);
  w.poke8(start + at.mode, XFRM.MODE_TRANSPORT);
  w.data(XFRM.ALG_AEAD, aead(key));
  w.end();
};
