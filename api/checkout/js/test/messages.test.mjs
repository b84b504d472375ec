// Both ends drop what is not on the list, and nothing on the list can hold a card number.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isConnect } from '../src/fields/connect.js';
import { NOTICES } from '../src/shared/notices.js';
import { REQUESTS } from '../src/shared/requests.js';
import { isMessage } from '../src/shared/shapes.js';

const SESSION = '0123456789abcdef0123456789abcdef';
const SECRET = `pi_${'0'.repeat(22)}_secret_${'x'.repeat(32)}`;
const hello = { turnout: 'turnout.connect', version: 1, session: SESSION, clientSecret: SECRET,
  appearance: {} };
const request = (type, rest = {}) => isMessage({ session: SESSION, type, ...rest }, REQUESTS, SESSION);
const notice = (type, rest = {}) => isMessage({ session: SESSION, type, ...rest }, NOTICES, SESSION);

test('a greeting has exactly its members', () => {
  assert.ok(isConnect(hello));
  for (const [name, value] of [['turnout', 'x'], ['version', 2], ['session', 'short'],
    ['clientSecret', 'pi_1'], ['appearance', []], ['extra', 1]]) {
    assert.ok(!isConnect({ ...hello, [name]: value }), name);
  }
  for (const value of [null, undefined, 'turnout.connect', 7, []]) assert.ok(!isConnect(value));
});

test('requests are of this session and of their shape', () => {
  assert.ok(request('confirm', { id: 1 }));
  assert.ok(request('clear'));
  assert.ok(!isMessage({ session: 'other', type: 'clear' }, REQUESTS, SESSION));
  for (const [type, rest] of [['confirm', {}], ['confirm', { id: '1' }], ['confirm', { id: 1, card: 'x' }],
    ['focus', { field: 'pin' }], ['read', {}], ['constructor', {}], ['__proto__', {}]]) {
    assert.ok(!request(type, rest), type);
  }
});

test('a card number does not fit into a notice', () => {
  const number = '4242424242424242';
  assert.ok(notice('bin', { bin: '42424242' }));
  assert.ok(!notice('bin', { bin: number }));
  assert.ok(!notice('brand', { brand: 'visa', candidates: [], number }));
  assert.ok(!notice('focus', { field: number }));
  assert.ok(!notice('ready', { number }));
});
