// The sealing code is held to the published vectors, byte for byte.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  Aes128Gcm, CipherSuite, DhkemP256HkdfSha256, DhkemX25519HkdfSha256, HkdfSha256,
} from '@hpke/core';
import { UnsealableError, infoOf, plaintextOf, sealCard } from '../src/fields/seal.js';

const path = new URL('../../../../docs/vectors/card.json', import.meta.url);
const { seals } = JSON.parse(readFileSync(path, 'utf8'));
const bytes = (hex) => Uint8Array.from(Buffer.from(hex, 'hex'));
const hex = (value) => Buffer.from(value).toString('hex');
const KEMS = { 1: DhkemX25519HkdfSha256, 2: DhkemP256HkdfSha256 };

async function ephemeralOf({ suite: number, ephemeralPrivateKey, enc }) {
  const suite = new CipherSuite({
    kem: new KEMS[number](), kdf: new HkdfSha256(), aead: new Aes128Gcm(),
  });
  return {
    privateKey: await suite.kem.deserializePrivateKey(bytes(ephemeralPrivateKey)),
    publicKey: await suite.kem.deserializePublicKey(bytes(enc)),
  };
}

const keyOf = ({ kid, suite, publicKey }, state = 'active') => (
  { kid, suite, state, publicKey: Buffer.from(publicKey, 'hex').toString('base64url') });

for (const vector of seals) {
  test(`vector: ${vector.name}`, async () => {
    const { publishableKey, intent } = vector.context;
    assert.equal(hex(infoOf(vector.kid, publishableKey, intent)), vector.info);
    assert.equal(hex(plaintextOf(vector.card)), vector.plaintext);
    const sealed = await sealCard(
      vector.card, [keyOf(vector)], publishableKey, intent, await ephemeralOf(vector));
    assert.equal(sealed, vector.ciphertext);
  });
}

test('in earnest no two are alike', async () => {
  const [vector] = seals;
  const { publishableKey, intent } = vector.context;
  const seal = () => sealCard(vector.card, [keyOf(vector)], publishableKey, intent);
  const [one, other] = [await seal(), await seal()];
  assert.notEqual(one, other);
  assert.equal(one.length, vector.ciphertext.length);
});

test('a retired key, an unknown suite and a key that cannot be imported are passed over', async () => {
  const vector = seals.find((each) => each.suite === 2);
  const { publishableKey, intent } = vector.context;
  const first = keyOf(seals[0]);
  const keys = [{ ...first, state: 'decrypt_only' }, { ...first, suite: 9 },
    { ...first, publicKey: 'AAAA' }, keyOf(vector)];
  const sealed = await sealCard(vector.card, keys, publishableKey, intent);
  assert.ok(sealed.startsWith(`v1.${vector.kid}.`));
});

test('without a key nothing is sealed', async () => {
  const [vector] = seals;
  await assert.rejects(sealCard(vector.card, [keyOf(vector, 'decrypt_only')], 'pk_test_docs', 'pi_docs'),
    UnsealableError);
});

test('what does not fit is not cut', () => {
  assert.throws(() => plaintextOf({ ...seals[0].card, name: 'x'.repeat(230) }), UnsealableError);
});
