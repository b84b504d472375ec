// A merchant's client of Turnout in one file: Node 18 or later, no dependencies.
//
//   node pay.mjs CREDENTIALS [--wait SECONDS] NUMBER…     pay with each test card
//   node pay.mjs --check-vectors DIRECTORY                docs/vectors of Turnout
//
// Prints `number status declineCode` for each payment. Written from docs/http-api.md. In a shop the
// customer's browser seals the card, so that the server never sees it; here one process plays both.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
const text = (value) => Buffer.from(value, 'utf8');
const number = (value, bytes) => Buffer.from(value.toString(16).padStart(2 * bytes, '0'), 'hex');
const prefixed = (value, bytes) => Buffer.concat([number(text(value).length, bytes), text(value)]);
const hmac = (key, ...parts) => (
  crypto.createHmac('sha256', key).update(Buffer.concat(parts)).digest());

// --- signing -------------------------------------------------------------------------------------

function canonicalString(request) {
  const digest = crypto.createHash('sha256').update(request.body).digest('hex');
  const { publishableKey, timestamp, nonce, method, host, target } = request;
  return ['turnout-v1', publishableKey, timestamp, nonce, method, host.toLowerCase(), target,
    request.contentType, request.idempotencyKey, digest].join('\n');
}

function sign(secretKey, request) {
  return `sha256=${hmac(secretKey, text(canonicalString(request))).toString('hex')}`;
}

async function send(shop, method, target, body, idempotencyKey) {
  const url = new URL(target, shop.apiUrl);
  const request = { publishableKey: shop.publishableKey, nonce: crypto.randomUUID(),
    timestamp: new Date().toISOString().replace(/\.\d+Z$/, 'Z'), method, host: url.host, target,
    contentType: body && 'application/json', idempotencyKey, body };
  const headers = { Authorization: `Bearer ${shop.publishableKey}`,
    'X-Request-Timestamp': request.timestamp, 'X-Request-Nonce': request.nonce,
    'X-Signature': sign(shop.secretKey, request),
    ...(body && { 'Content-Type': 'application/json', 'Idempotency-Key': idempotencyKey }) };
  const signal = AbortSignal.timeout(30_000);
  const response = await fetch(url, { method, headers, body: body || undefined, signal });
  const retryAfter = Number(response.headers.get('Retry-After')) || 1;
  return { status: response.status, retryAfter, value: await response.json() };
}

// One operation: repeated with the same key and body, signed anew, until there is an answer. A
// server that has just restarted refuses timestamps from before that, which is soon over.
async function call(shop, method, target, value) {
  const body = value ? JSON.stringify(value) : '';
  const idempotencyKey = method === 'POST' ? crypto.randomUUID() : ''; // a shop stores it first
  for (let triesLeft = 5; ; triesLeft--) {
    const answer = await send(shop, method, target, body, idempotencyKey).catch((error) => (
      { status: 0, retryAfter: 1, value: String(error.cause ?? error) })); // its fate is unknown
    if (answer.status >= 200 && answer.status < 300) return answer;
    const again = [0, 429].includes(answer.status) || answer.status >= 500
      || answer.value.code === 'timestamp_outside_window';
    if (!again || triesLeft === 1) {
      throw new Error(`${method} ${target}: ${answer.status} ${JSON.stringify(answer.value)}`);
    }
    await sleep(1000 * answer.retryAfter);
  }
}

// --- sealing a card: HPKE suite 1, base mode (RFC 9180) ------------------------------------------

const KEM_SUITE = Buffer.concat([text('KEM'), number(0x0020, 2)]);
const SUITE = Buffer.concat([text('HPKE'), number(0x0020, 2), number(1, 2), number(1, 2)]);
const NONE = Buffer.alloc(0);

const extract = (suite, salt, label, ikm) => hmac(salt, text('HPKE-v1'), suite, text(label), ikm);
const expand = (suite, key, label, info, length) => hmac(key, number(length, 2), text('HPKE-v1'),
  suite, text(label), info, number(1, 1)).subarray(0, length); // one block of HKDF: 32 bytes

function seal(key, publishableKey, intent, card,
  ephemeral = crypto.generateKeyPairSync('x25519').privateKey) {
  const mode = publishableKey.split('_')[1];
  const info = Buffer.concat(['turnout-card-v1', key.kid, mode, publishableKey, intent]
    .map((part) => prefixed(part, 2)));
  const fields = [card.number, card.month, card.year, card.cvc, card.name];
  const plaintext = Buffer.concat([number(1, 1), ...fields.map((part) => prefixed(part, 1)),
    Buffer.alloc(256)]).subarray(0, 256);

  const recipient = Buffer.from(key.publicKey, 'base64url');
  const enc = Buffer.from(ephemeral.export({ format: 'jwk' }).x, 'base64url');
  const dh = crypto.diffieHellman({ privateKey: ephemeral, publicKey: crypto.createPublicKey(
    { key: { kty: 'OKP', crv: 'X25519', x: key.publicKey }, format: 'jwk' }) });
  const shared = expand(KEM_SUITE, extract(KEM_SUITE, NONE, 'eae_prk', dh), 'shared_secret',
    Buffer.concat([enc, recipient]), 32);
  const context = Buffer.concat([number(0, 1), extract(SUITE, NONE, 'psk_id_hash', NONE),
    extract(SUITE, NONE, 'info_hash', info)]);
  const secret = extract(SUITE, shared, 'secret', NONE);
  const cipher = crypto.createCipheriv('aes-128-gcm', expand(SUITE, secret, 'key', context, 16),
    expand(SUITE, secret, 'base_nonce', context, 12));
  const sealed = [enc, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
  return `v1.${key.kid}.${Buffer.concat(sealed).toString('base64url')}`;
}

// --- paying --------------------------------------------------------------------------------------

async function pay(shop, cardNumber, waitSeconds) {
  const order = { amountInCents: 2499, currency: 'usd' };
  const { value: intent } = await call(shop, 'POST', '/payment-intents', order);
  const { keys } = await (await fetch(new URL('/keys', shop.apiUrl))).json();
  const key = keys.find((each) => each.suite === 1 && each.state === 'active');
  const year = String(new Date().getUTCFullYear() + 1);
  const card = { number: cardNumber, month: '12', year, cvc: '123', name: '' };
  const path = `/payment-intents/${intent.id}`;
  const charge = await call(shop, 'POST', `${path}/transactions`,
    { type: 'charge', card: { ciphertext: seal(key, shop.publishableKey, intent.id, card) } });
  if (charge.status === 200) return charge.value;

  const deadline = Date.now() + 1000 * waitSeconds; // 202: read the intent until it is decided
  for (let pause = charge.retryAfter; ; pause = Math.min(2 * pause, 60)) {
    const { value } = await call(shop, 'GET', path);
    const decided = ['succeeded', 'failed', 'canceled'].includes(value.status);
    if (decided || Date.now() >= deadline) return { ...value, ...value.lastError };
    await sleep(Math.min(1000 * pause, deadline - Date.now()));
  }
}

function checkVectors(directory) {
  for (const vector of read(`${directory}/signing.json`).vectors) {
    assert.equal(canonicalString(vector), vector.canonicalString, vector.name);
    assert.equal(sign(vector.secretKey, vector), vector.signature, vector.name);
    console.log(`ok signing.json: ${vector.name}`);
  }
  for (const vector of read(`${directory}/card.json`).seals.filter((each) => each.suite === 1)) {
    const publicKey = Buffer.from(vector.publicKey, 'hex').toString('base64url');
    const ephemeral = crypto.createPrivateKey({ format: 'der', type: 'pkcs8', key: // RFC 8410
      Buffer.from(`302e020100300506032b656e04220420${vector.ephemeralPrivateKey}`, 'hex') });
    const { publishableKey, intent } = vector.context;
    const key = { kid: vector.kid, publicKey };
    assert.equal(seal(key, publishableKey, intent, vector.card, ephemeral), vector.ciphertext);
    console.log(`ok card.json: ${vector.name}`);
  }
}

const [first, ...rest] = process.argv.slice(2);
const waitSeconds = rest[0] === '--wait' ? Number(rest.splice(0, 2)[1]) : 60;
assert(rest.length > 0, 'usage: see the head of this file');
if (first === '--check-vectors') checkVectors(rest[0]);
else {
  const shop = read(first);
  for (const cardNumber of rest) {
    const { status, declineCode } = await pay(shop, cardNumber, waitSeconds);
    console.log(cardNumber, status, declineCode ?? '-');
  }
}
