// HPKE in base mode (RFC 9180) with an empty aad: suite 1 is X25519, suite 2 P-256; both with
// HKDF-SHA256 and AES-128-GCM. Names are the RFC's. docs/vectors/card.json holds every step.
import crypto from 'node:crypto';

const PLAINTEXT_BYTES = 256;
const PKCS8_X25519 = '302e020100300506032b656e04220420'; // RFC 8410, before the 32 bytes of a key
const NONE = Buffer.alloc(0);

const text = (value) => Buffer.from(value, 'utf8');
const number = (value, bytes) => Buffer.from(value.toString(16).padStart(2 * bytes, '0'), 'hex');
const hmac = (key, ...parts) => (
  crypto.createHmac('sha256', key).update(Buffer.concat(parts)).digest());

function prefixed(part, bytes) {
  const data = text(part);
  if (data.length >= 2 ** (8 * bytes)) throw new RangeError('a field is too long');
  return Buffer.concat([number(data.length, bytes), data]);
}

const SUITES = {
  1: {
    kem: 0x0020,
    /** @param {Buffer} recipient @param {Buffer} [secret] */
    agree(recipient, secret) {
      const privateKey = secret === undefined
        ? crypto.generateKeyPairSync('x25519').privateKey
        : crypto.createPrivateKey({ format: 'der', type: 'pkcs8',
          key: Buffer.concat([Buffer.from(PKCS8_X25519, 'hex'), secret]) });
      const publicKey = crypto.createPublicKey({ format: 'jwk',
        key: { kty: 'OKP', crv: 'X25519', x: recipient.toString('base64url') } });
      return { enc: Buffer.from(privateKey.export({ format: 'jwk' }).x, 'base64url'),
        dh: crypto.diffieHellman({ privateKey, publicKey }) };
    },
  },
  2: {
    kem: 0x0010,
    /** @param {Buffer} recipient @param {Buffer} [secret] */
    agree(recipient, secret) {
      const pair = crypto.createECDH('prime256v1');
      if (secret === undefined) pair.generateKeys(); else pair.setPrivateKey(secret);
      return { enc: pair.getPublicKey(), dh: pair.computeSecret(recipient) };
    },
  },
};

const extract = (suite, salt, label, ikm) => hmac(salt, text('HPKE-v1'), suite, text(label), ikm);
const expand = (suite, key, label, info, length) => hmac(key, number(length, 2), text('HPKE-v1'),
  suite, text(label), info, number(1, 1)).subarray(0, length); // one block of HKDF: 32 bytes

/**
 * Seal a card for one charge of one intent.
 *
 * @param {{kid: string, suite: number, publicKey: string}} key of `GET /keys`
 * @param {string} publishableKey
 * @param {string} intentId
 * @param {{number: string, month: string, year: string, cvc?: string, name?: string}} card month
 *   of two digits, year of four
 * @param {Uint8Array} [ephemeral] of the test vectors; never given in earnest
 * @returns {string} `v1.…`
 */
export function sealCard(key, publishableKey, intentId, card, ephemeral) {
  const suite = SUITES[key.suite];
  if (suite === undefined) throw new TypeError('the suite of the key is not known');
  const mode = publishableKey.split('_')[1];
  const info = Buffer.concat(['turnout-card-v1', key.kid, mode, publishableKey, intentId]
    .map((part) => prefixed(part, 2)));
  const fields = [card.number, card.month, card.year, card.cvc ?? '', card.name ?? ''];
  const filled = Buffer.concat([number(1, 1), ...fields.map((part) => prefixed(part, 1))]);
  if (filled.length > PLAINTEXT_BYTES) throw new RangeError('the card is too long');
  const plaintext = Buffer.concat([filled, Buffer.alloc(PLAINTEXT_BYTES)], PLAINTEXT_BYTES);

  const recipient = Buffer.from(key.publicKey, 'base64url');
  const { enc, dh } = suite.agree(recipient, ephemeral && Buffer.from(ephemeral));
  const kemSuite = Buffer.concat([text('KEM'), number(suite.kem, 2)]);
  const hpkeSuite = Buffer.concat([text('HPKE'), number(suite.kem, 2), number(1, 2), number(1, 2)]);
  const sharedSecret = expand(kemSuite, extract(kemSuite, NONE, 'eae_prk', dh), 'shared_secret',
    Buffer.concat([enc, recipient]), 32);
  const context = Buffer.concat([number(0, 1), extract(hpkeSuite, NONE, 'psk_id_hash', NONE),
    extract(hpkeSuite, NONE, 'info_hash', info)]);
  const secret = extract(hpkeSuite, sharedSecret, 'secret', NONE);
  const cipher = crypto.createCipheriv('aes-128-gcm', expand(hpkeSuite, secret, 'key', context, 16),
    expand(hpkeSuite, secret, 'base_nonce', context, 12));
  const sealed = [enc, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
  return `v1.${key.kid}.${Buffer.concat(sealed).toString('base64url')}`;
}
