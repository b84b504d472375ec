import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { APIError, ConnectionLostError } from './errors.js';
import { sealCard } from './seal.js';
import { signature } from './sign.js';

const KEYS_CACHED_MS = 300_000; // as long as the server allows
const RETRIED = new Set([429, 502, 503, 504]);
const DECIDED = new Set(['succeeded', 'authorized', 'failed', 'canceled']);

/**
 * A merchant's connection to a Turnout server.
 *
 * Calls return the server's objects, or throw `APIError` or `ConnectionLostError`. Whatever changes
 * something takes `{ idempotencyKey }` last; store yours before you call, and repeat the call with
 * it whenever you do not know what became of it.
 */
export class Turnout {
  #secretKey;
  #keys;
  #keysUntil = 0;

  /**
   * @param {string} publishableKey `pk_…`
   * @param {string} secretKey `sk_…`; never leaves this process
   * @param {string} [apiUrl] scheme, host and port
   * @param {{triesMax?: number, backoffMs?: number, retryAfterMaxS?: number, timeoutMs?: number}}
   *   [policy] how often and how patiently requests are sent again
   */
  constructor(publishableKey, secretKey, apiUrl = 'http://127.0.0.1:8080', policy = {}) {
    if (!/^pk_(test|live)_/.test(publishableKey)) throw new TypeError('publishableKey: is none');
    if (!secretKey.startsWith(`sk_${publishableKey.slice(3, 8)}`)) {
      throw new TypeError('secretKey: is none, or of another mode');
    }
    this.publishableKey = publishableKey;
    this.#secretKey = secretKey;
    this.apiUrl = new URL(apiUrl).origin;
    this.policy = { triesMax: 5, backoffMs: 200, retryAfterMaxS: 30, timeoutMs: 30_000, ...policy };
  }

  // --- payment intents ---------------------------------------------------------------------------

  /** @param {{amountInCents: number, currency: string} & Record<string, any>} intent */
  createPaymentIntent(intent, options) {
    return this.#post('/payment-intents', intent, options);
  }

  /** @param {string} id */
  getPaymentIntent(id) {
    return this.#get(`/payment-intents/${encodeURIComponent(id)}`);
  }

  /** @param {Record<string, any>} [filters] `status` may be a list, `metadata` is an object */
  listPaymentIntents(filters) {
    return this.#get('/payment-intents', filters);
  }

  /** @param {string} id */
  listPaymentIntentEvents(id) {
    return this.#get(`/payment-intents/${encodeURIComponent(id)}/events`);
  }

  /**
   * Charge, capture, cancel, refund or verify; the methods below are shorter.
   *
   * @param {string} id
   * @param {{type: string} & Record<string, any>} transaction
   */
  createTransaction(id, transaction, options) {
    return this.#post(`/payment-intents/${encodeURIComponent(id)}/transactions`, transaction,
      options);
  }

  /** @param {string} id @param {string} ciphertext what `seal` or the customer's browser made */
  charge(id, ciphertext, options) {
    return this.createTransaction(id, { type: 'charge', card: { ciphertext } }, options);
  }

  /** @param {string} id @param {string} ciphertext */
  verify(id, ciphertext, options) {
    return this.createTransaction(id, { type: 'verify', card: { ciphertext } }, options);
  }

  /** @param {string} id @param {{amountInCents?: number, finalCapture?: boolean}} [part] */
  capture(id, part = {}, options = undefined) {
    return this.createTransaction(id, { type: 'capture', ...part }, options);
  }

  /** @param {string} id */
  cancel(id, options) {
    return this.createTransaction(id, { type: 'cancel' }, options);
  }

  /** @param {string} id @param {{amountInCents?: number}} [part] */
  refund(id, part = {}, options = undefined) {
    return this.createTransaction(id, { type: 'refund', ...part }, options);
  }

  /**
   * Read an intent again and again until it is decided, or time is over.
   *
   * @param {string} id @param {number} [timeoutMs]
   */
  async wait(id, timeoutMs = 60_000) {
    const deadline = Date.now() + timeoutMs;
    for (let pause = 100; ; pause = Math.min(1.5 * pause, 2_000)) {
      const intent = await this.getPaymentIntent(id);
      if (DECIDED.has(intent.status) || Date.now() >= deadline) return intent;
      await sleep(Math.min(pause, Math.max(0, deadline - Date.now())));
    }
  }

  // --- cards, balance ----------------------------------------------------------------------------

  /** The public keys that cards are sealed to. */
  listCaptureKeys() {
    return this.#call('GET', '/keys', undefined, '', false);
  }

  /**
   * Seal a card for one charge of one intent; better still, let the customer's browser do it.
   *
   * @param {string} id
   * @param {{number: string, month: string, year: string, cvc?: string, name?: string}} card
   */
  async seal(id, card) {
    if (Date.now() >= this.#keysUntil) {
      this.#keys = (await this.listCaptureKeys()).keys;
      this.#keysUntil = Date.now() + KEYS_CACHED_MS;
    }
    const key = this.#keys.find((each) => each.state === 'active' && [1, 2].includes(each.suite));
    if (key === undefined) throw new TypeError('the server has no key of a suite that is known');
    return sealCard(key, this.publishableKey, id, card);
  }

  getBalance() {
    return this.#get('/balance');
  }

  // --- webhooks ----------------------------------------------------------------------------------

  /** @param {Record<string, any>} [filters] */
  listEvents(filters) {
    return this.#get('/events', filters);
  }

  /** @param {{url: string} & Record<string, any>} endpoint; the answer has its `secret` */
  createWebhookEndpoint(endpoint, options) {
    return this.#post('/webhook-endpoints', endpoint, options);
  }

  /** @param {Record<string, any>} [filters] */
  listWebhookEndpoints(filters) {
    return this.#get('/webhook-endpoints', filters);
  }

  /** @param {string} id */
  getWebhookEndpoint(id) {
    return this.#get(`/webhook-endpoints/${encodeURIComponent(id)}`);
  }

  /** @param {string} id @param {Record<string, any>} changes */
  updateWebhookEndpoint(id, changes) {
    return this.#call('PATCH', `/webhook-endpoints/${encodeURIComponent(id)}`, changes);
  }

  /** @param {string} id */
  deleteWebhookEndpoint(id) {
    return this.#call('DELETE', `/webhook-endpoints/${encodeURIComponent(id)}`);
  }

  /** @param {string} id @param {{overlapSeconds?: number}} [roll] */
  rollWebhookSecret(id, roll = {}, options = undefined) {
    return this.#post(`/webhook-endpoints/${encodeURIComponent(id)}/roll-secret`, roll, options);
  }

  /** @param {Record<string, any>} [filters] */
  listWebhookDeliveries(filters) {
    return this.#get('/webhook-deliveries', filters);
  }

  /** @param {string} id */
  getWebhookDelivery(id) {
    return this.#get(`/webhook-deliveries/${encodeURIComponent(id)}`);
  }

  /** @param {string} id */
  replayWebhookDelivery(id, options) {
    return this.#post(`/webhook-deliveries/${encodeURIComponent(id)}/replay`, {}, options);
  }

  // --- requests ----------------------------------------------------------------------------------

  #get(path, filters = {}) {
    const query = queryOf(filters);
    return this.#call('GET', query === '' ? path : `${path}?${query}`);
  }

  #post(path, value, { idempotencyKey = randomUUID() } = {}) {
    return this.#call('POST', path, value, idempotencyKey);
  }

  /** Send until there is an answer to act on: the same body and key, signed anew each time. */
  async #call(method, target, value, idempotencyKey = '', signed = true) {
    const body = value === undefined ? '' : JSON.stringify(value);
    for (let tries = 1; ; tries++) {
      const answer = await this.#send(method, target, body, idempotencyKey, signed)
        .catch((error) => ({ lost: error }));
      if (answer.lost === undefined && answer.status < 300) return answer.value;
      const again = answer.lost !== undefined || RETRIED.has(answer.status)
        || answer.value.code === 'timestamp_outside_window'; // the server has restarted
      const asked = answer.retryAfterS ?? 0;
      if (!again || tries >= this.policy.triesMax || asked > this.policy.retryAfterMaxS) {
        if (answer.lost === undefined) throw new APIError(answer.status, answer.value, asked);
        const reason = `${answer.lost.cause ?? answer.lost} (after ${tries} tries)`;
        throw new ConnectionLostError(reason, idempotencyKey, answer.lost);
      }
      const backoff = Math.min(this.policy.backoffMs * 2 ** (tries - 1), 5_000);
      await sleep(1000 * asked + Math.random() * backoff);
    }
  }

  async #send(method, target, body, idempotencyKey, signed) {
    const url = new URL(this.apiUrl + target);
    const headers = { Accept: 'application/json, application/problem+json' };
    if (body !== '') headers['Content-Type'] = 'application/json';
    if (idempotencyKey !== '') headers['Idempotency-Key'] = idempotencyKey;
    if (signed) {
      const timestamp = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
      const nonce = randomBytes(18).toString('base64url');
      headers.Authorization = `Bearer ${this.publishableKey}`;
      headers['X-Request-Timestamp'] = timestamp;
      headers['X-Request-Nonce'] = nonce;
      headers['X-Signature'] = signature(this.#secretKey, { publishableKey: this.publishableKey,
        timestamp, nonce, method, host: url.host, target: url.pathname + url.search,
        contentType: headers['Content-Type'] ?? '', idempotencyKey, body });
    }
    const signal = AbortSignal.timeout(this.policy.timeoutMs);
    const response = await fetch(url, { method, headers, body: body || undefined, signal });
    const text = await response.text();
    const retryAfterS = Number(response.headers.get('Retry-After')) || 0;
    return { status: response.status, retryAfterS, value: parsed(text) };
  }
}

/** Members as a query: lists with commas, objects as `name[member]=value`. */
function queryOf(filters) {
  const pairs = Object.entries(filters).flatMap(([name, value]) => {
    if (Array.isArray(value)) return [[name, value.join(',')]];
    if (value instanceof Date) return [[name, value.toISOString()]];
    if (value !== null && typeof value === 'object') {
      return Object.entries(value).map(([member, text]) => [`${name}[${member}]`, text]);
    }
    return [[name, value]];
  });
  return pairs.map((pair) => pair.map(encodeURIComponent).join('=')).join('&');
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === 'object' ? value : {};
  } catch {
    return {}; // a proxy's page
  }
}
