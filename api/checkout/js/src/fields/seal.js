// Sealing a card as docs/http-api.md says: HPKE base mode, `info` that binds it to its place.

import {
  Aes128Gcm, CipherSuite, DhkemP256HkdfSha256, DhkemX25519HkdfSha256, HkdfSha256,
} from '@hpke/core';

const PLAINTEXT_BYTES = 256;
const KEMS = { 1: DhkemX25519HkdfSha256, 2: DhkemP256HkdfSha256 };
const utf8 = (text) => new TextEncoder().encode(text);

// The card does not fit, or the browser speaks none of the suites.
export class UnsealableError extends Error {}

function concatenate(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function toBase64url(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
    .replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

export const fromBase64url = (text) => Uint8Array.from(
  atob(text.replace(/-/g, '+').replace(/_/g, '/')), (character) => character.charCodeAt(0));

// The context is rebuilt by the server from its own records; nothing of it travels.
export function infoOf(kid, publishableKey, intent) {
  const mode = publishableKey.split('_')[1];
  return concatenate(['turnout-card-v1', kid, mode, publishableKey, intent].flatMap((part) => {
    const bytes = utf8(part);
    return [Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes];
  }));
}

export function plaintextOf({ number, month, year, cvc, name }) {
  const parts = [number, month, year, cvc, name].map(utf8);
  const record = concatenate([Uint8Array.of(1),
    ...parts.flatMap((bytes) => [Uint8Array.of(bytes.length), bytes])]);
  if (record.length > PLAINTEXT_BYTES || parts.some((bytes) => bytes.length > 255)) {
    throw new UnsealableError();
  }
  const padded = new Uint8Array(PLAINTEXT_BYTES);
  padded.set(record);
  return padded;
}

// Not every browser has X25519: one that cannot import the key takes the P-256 one.
async function importKey(key) {
  const suite = new CipherSuite({
    kem: new KEMS[key.suite](), kdf: new HkdfSha256(), aead: new Aes128Gcm(),
  });
  const raw = fromBase64url(key.publicKey);
  return { suite, recipientPublicKey: await suite.kem.deserializePublicKey(raw) };
}

async function firstUsable(keys) {
  for (const key of keys) {
    if (key.state !== 'active' || !Object.hasOwn(KEMS, key.suite)) continue;
    try {
      return { kid: key.kid, ...(await importKey(key)) };
    } catch {
      continue; // this browser does not speak the suite
    }
  }
  throw new UnsealableError();
}

// `v1.<kid>.<data>`. `ephemeral`, a key pair, is for test vectors alone: otherwise one is drawn.
export async function sealCard(card, keys, publishableKey, intent, ephemeral = undefined) {
  const { kid, suite, recipientPublicKey } = await firstUsable(keys);
  const plaintext = plaintextOf(card);
  const sender = await suite.createSenderContext({
    recipientPublicKey, info: infoOf(kid, publishableKey, intent), ekm: ephemeral,
  });
  const ciphertext = await sender.seal(plaintext);
  plaintext.fill(0);
  const sealed = concatenate([new Uint8Array(sender.enc), new Uint8Array(ciphertext)]);
  return `v1.${kid}.${toBase64url(sealed)}`;
}
