// The three requests of a payment from the browser, and how they are repeated.
//
// Theory of operation. A confirmation has one Idempotency-Key and, while nothing says otherwise, one
// body; so whatever happens to a connection, repeating it can charge once only. It is repeated when
// nothing was heard, on 429 and on 5xx. A key that was retired meanwhile is fetched anew, once, and
// the card sealed again, still under the same Idempotency-Key: had the first body been recorded
// after all, the second would be refused rather than charged. What is not final is asked for until
// it is, less and less often. If the time for that is over, the status says so
// (`pending_verification`, `processing`): that is an answer too, and no reason to pay again.

import { sealCard } from './seal.js';

const FINAL = ['succeeded', 'authorized', 'failed', 'canceled'];
// The intent says more than the refusal: it is paid, or on its way.
const ASK_THE_INTENT = ['already_succeeded', 'operation_in_progress', 'operation_in_doubt'];
const TRIES = 5;
const REQUEST_TIMEOUT_MS = 30000; // above the server's own deadline
const PAUSE_MAX_MS = 8000;
const FOLLOW_MS = 120000;
const KEYS_MS = 300000; // what GET /keys says of its age

export class PaymentError extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

export class Payments {
  #key;
  #clientSecret;
  #intent;
  #keys = null;
  #keysAt = 0;

  constructor(publishableKey, clientSecret, { fetch, sleep, now, uuid }) {
    this.#key = publishableKey;
    this.#clientSecret = clientSecret;
    this.#intent = clientSecret.split('_secret_')[0];
    Object.assign(this, { fetch, sleep, now, uuid });
  }

  // Have the public keys at hand before they are needed; a failure waits until they are.
  async prepare() {
    try {
      await this.#publicKeys();
    } catch {
      this.#keys = null;
    }
  }

  // Charge the card, follow the intent to its end; gives its reduced view.
  async confirm(card) {
    const idempotencyKey = this.uuid();
    let refused = await this.#charge(card, idempotencyKey);
    if (refused?.code === 'card_key_expired') {
      this.#keys = null;
      refused = await this.#charge(card, idempotencyKey);
    }
    if (refused && !ASK_THE_INTENT.includes(refused.code)) throw new PaymentError(refused.code);
    return this.#follow();
  }

  async #charge(card, idempotencyKey) {
    const keys = await this.#publicKeys();
    performance.mark('turnout:seal');
    const ciphertext = await sealCard(card, keys, this.#key, this.#intent);
    performance.measure('turnout:seal', 'turnout:seal');
    const body = JSON.stringify({ type: 'charge', card: { ciphertext } });
    const { status, value } = await this.#send('POST', `${this.#path()}/transactions`, {
      'Content-Type': 'application/json', 'Idempotency-Key': idempotencyKey,
    }, body);
    return status < 300 ? null : value;
  }

  async #publicKeys() {
    if (!this.#keys || this.now() - this.#keysAt > KEYS_MS) {
      const { status, value } = await this.#send('GET', '/keys', {});
      if (status !== 200 || !Array.isArray(value.keys)) throw new PaymentError('keys_unavailable');
      this.#keys = value.keys;
      this.#keysAt = this.now();
    }
    return this.#keys;
  }

  #path = () => `/payment-intents/${this.#intent}`;

  async #follow() {
    const until = this.now() + FOLLOW_MS;
    for (let pauseMs = 500; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS)) {
      const { status, value } = await this.#send('GET', this.#path(), {});
      if (status !== 200) throw new PaymentError(value.code);
      if (FINAL.includes(value.status) || this.now() >= until) return value;
      await this.sleep(pauseMs);
    }
  }

  // One request with its repeats. A status of 500 or more, 429 or silence is tried again.
  async #send(method, path, headers, body = undefined) {
    for (let left = TRIES - 1; ; left -= 1) {
      const answer = await this.#once(method, path, headers, body);
      const again = answer === null || answer.status === 429 || answer.status >= 500;
      if (!again) return answer;
      if (left === 0) throw new PaymentError(answer?.value?.code ?? 'network_error');
      await this.sleep(answer ? 1000 * answer.retryAfterS : 1000 * 2 ** (TRIES - 1 - left));
    }
  }

  async #once(method, path, headers, body) {
    try {
      const own = path === '/keys' ? {}
        : { Authorization: `Bearer ${this.#key}`, 'X-Client-Secret': this.#clientSecret };
      const response = await this.fetch(path, {
        method, body, headers: { ...own, ...headers }, cache: 'no-store', credentials: 'omit',
        redirect: 'error', referrerPolicy: 'no-referrer',
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      const retryAfterS = Math.min(Number(response.headers.get('Retry-After')) || 1, 10);
      return { status: response.status, retryAfterS, value: await response.json() };
    } catch {
      return null; // nothing was heard, or not all of it
    }
  }
}
