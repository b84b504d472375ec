// One payment is one Idempotency-Key, whatever happens to its requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PaymentError, Payments } from '../src/fields/payments.js';

const INTENT = `pi_${'0'.repeat(22)}`;
const SECRET = `${INTENT}_secret_${'x'.repeat(32)}`;
const CARD = { number: '4242424242424242', month: '12', year: '2030', cvc: '123', name: '' };
const key = (kid) => ({ kid, suite: 1, state: 'active',
  publicKey: Buffer.from('8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f', 'hex')
    .toString('base64url') });
const KEYS = [200, { keys: [key('one')] }];
const intent = (status) => [200, { id: INTENT, status, amountInCents: 1, currency: 'usd', lastError: null }];
const problem = (status, code, headers = {}) => [status, { code }, headers];
const LOST = null;

// A server that answers as it is told, in order, by method; the last answer of a kind repeats.
function play({ keys = [KEYS], posts, gets = [intent('succeeded')] }) {
  const requests = [];
  const slept = [];
  let clock = 0;
  const next = (answers) => (answers.length > 1 ? answers.shift() : answers[0]);
  const fetch = async (path, { method, headers, body }) => {
    requests.push({ path, method, headers, body });
    const answer = next(path === '/keys' ? keys : method === 'POST' ? posts : gets);
    if (answer === LOST) throw new TypeError('failed to fetch');
    const [status, value, more = {}] = answer;
    return { status, headers: new Headers(more), json: async () => value };
  };
  let drawn = 0;
  const payments = new Payments('pk_test_docs', SECRET, {
    fetch, sleep: async (ms) => { slept.push(ms); clock += ms; }, now: () => clock,
    uuid: () => `key-${++drawn}`,
  });
  return { payments, slept, posted: () => requests.filter((each) => each.method === 'POST'), requests };
}

test('a charge that is final is read once and told', async () => {
  const { payments, posted, requests } = play({ posts: [[200, { status: 'succeeded' }]] });
  assert.equal((await payments.confirm(CARD)).status, 'succeeded');
  assert.deepEqual(requests.map((each) => each.method), ['GET', 'POST', 'GET']);
  const [{ path, headers, body }] = posted();
  assert.equal(path, `/payment-intents/${INTENT}/transactions`);
  assert.equal(headers['Idempotency-Key'], 'key-1');
  assert.equal(headers.Authorization, 'Bearer pk_test_docs');
  assert.equal(headers['X-Client-Secret'], SECRET);
  assert.match(JSON.parse(body).card.ciphertext, /^v1\.one\./);
  assert.ok(!JSON.stringify(requests).includes(CARD.number));
});

test('the keys are fetched without a credential', async () => {
  const { payments, requests } = play({ posts: [[200, {}]] });
  await payments.prepare();
  assert.deepEqual(requests[0].headers, {});
});

test('what is lost is repeated, with the same key and the same bytes', async () => {
  const busy = problem(503, 'switch_unavailable', { 'Retry-After': '2' });
  const { payments, posted, slept } = play({ posts: [LOST, busy, problem(429, 'rate_limited'), [202, {}]] });
  await payments.confirm(CARD);
  const sent = posted();
  assert.equal(sent.length, 4);
  assert.equal(new Set(sent.map((each) => each.body)).size, 1);
  assert.deepEqual([...new Set(sent.map((each) => each.headers['Idempotency-Key']))], ['key-1']);
  assert.deepEqual(slept.slice(0, 3), [1000, 2000, 1000]);
});

test('it is not repeated for ever, and says that the outcome is not known', async () => {
  const { payments, posted } = play({ posts: [LOST] });
  await assert.rejects(payments.confirm(CARD), { code: 'network_error' });
  assert.equal(posted().length, 5);
});

test('another confirmation has another key and another ciphertext', async () => {
  const { payments, posted } = play({ posts: [[200, {}]] });
  await payments.confirm(CARD);
  await payments.confirm(CARD);
  const [one, other] = posted();
  assert.notEqual(one.headers['Idempotency-Key'], other.headers['Idempotency-Key']);
  assert.notEqual(one.body, other.body);
});

test('an outcome that is not known yet is waited for, less and less often', async () => {
  const gets = [...Array(3).fill(intent('pending_verification')), intent('failed')];
  const { payments, slept } = play({ posts: [[202, {}]], gets });
  assert.equal((await payments.confirm(CARD)).status, 'failed');
  assert.deepEqual(slept, [500, 1000, 2000]);
});

test('what is not known after all this time is told as that', async () => {
  const { payments, slept } = play({ posts: [[202, {}]], gets: [intent('pending_verification')] });
  assert.equal((await payments.confirm(CARD)).status, 'pending_verification');
  assert.ok(slept.reduce((sum, ms) => sum + ms) >= 120000);
});

for (const code of ['already_succeeded', 'operation_in_progress', 'operation_in_doubt']) {
  test(`${code} is answered by the intent`, async () => {
    const { payments } = play({ posts: [problem(409, code)] });
    assert.equal((await payments.confirm(CARD)).status, 'succeeded');
  });
}

test('a retired key is fetched anew, once, under the same Idempotency-Key', async () => {
  const { payments, posted } = play({
    keys: [KEYS, [200, { keys: [key('two')] }]], posts: [problem(422, 'card_key_expired'), [200, {}]],
  });
  await payments.confirm(CARD);
  const [one, other] = posted();
  assert.match(JSON.parse(one.body).card.ciphertext, /^v1\.one\./);
  assert.match(JSON.parse(other.body).card.ciphertext, /^v1\.two\./);
  assert.equal(one.headers['Idempotency-Key'], other.headers['Idempotency-Key']);
  const expired = play({ posts: [problem(422, 'card_key_expired')] });
  await assert.rejects(expired.payments.confirm(CARD), { code: 'card_key_expired' });
  assert.equal(expired.posted().length, 2);
});

test('a refusal is not repeated', async () => {
  for (const [status, code] of [[401, 'client_secret_invalid'], [409, 'too_many_charges'], [422, 'card_undecryptable']]) {
    const { payments, posted } = play({ posts: [problem(status, code)] });
    await assert.rejects(payments.confirm(CARD), new PaymentError(code));
    assert.equal(posted().length, 1);
  }
});

test('without keys nothing is sent', async () => {
  const { payments, posted } = play({ keys: [[200, { keys: 'none' }]], posts: [[200, {}]] });
  await assert.rejects(payments.confirm(CARD), { code: 'keys_unavailable' });
  assert.equal(posted().length, 0);
});

test('keys are kept as long as they say, and prepared in advance where that works', async () => {
  const { payments, requests } = play({ keys: [LOST, LOST, LOST, LOST, LOST, KEYS], posts: [[200, {}]] });
  await payments.prepare();
  assert.equal((await payments.confirm(CARD)).status, 'succeeded');
  await payments.confirm(CARD);
  assert.equal(requests.filter((each) => each.path === '/keys').length, 6);
});
