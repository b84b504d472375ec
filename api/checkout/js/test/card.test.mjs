// What is told of a card from what is typed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  binOf, checkCvc, checkExpiry, checkNumber, detectBrand, formatExpiry, formatNumber, parseExpiry,
  passesLuhn,
} from '../src/fields/card.js';

const brandOf = (digits) => detectBrand(digits).brand.name;
const NOVEMBER = new Date(2026, 10, 22);

test('a brand is found by its longest prefix', () => {
  const brands = { 4242424242424242: 'visa', 5555555555554444: 'mastercard', 2221000000000009: 'mastercard',
    2720990000000007: 'mastercard', 378282246310005: 'amex', 6011111111111117: 'discover',
    3530111333300000: 'jcb', 30569309025904: 'diners', 6200000000000005: 'unionpay',
    2200000000000004: 'mir', 4011780000000006: 'elo', 6362970000457013: 'elo', 6759649826438453: 'maestro' };
  for (const [digits, brand] of Object.entries(brands)) assert.equal(brandOf(digits), brand, digits);
});

test('ranges end where they end', () => {
  assert.deepEqual(['2220', '2721', '3527', '3590', '9'].map(brandOf), [null, null, null, null, null]);
});

test('every brand that it may still be, or also be, is told', () => {
  assert.deepEqual(detectBrand('').candidates, []);
  assert.deepEqual(detectBrand('3').candidates, ['amex', 'diners', 'jcb']);
  assert.deepEqual(detectBrand('4011780').candidates, ['visa', 'elo']);
});

test('the check digit is held to', () => {
  assert.ok(passesLuhn('4242424242424242'));
  for (let at = 0; at < 16; at += 1) {
    const digits = [...'4242424242424242'];
    digits[at] = String((Number(digits[at]) + 1) % 10);
    assert.ok(!passesLuhn(digits.join('')), `digit ${at}`);
  }
});

test('a number is missing, not complete, wrong or good', () => {
  const checks = { '': 'number_missing', 4242: 'number_incomplete', 424242424242424: 'number_incomplete',
    4242424242424241: 'number_invalid', 4242424242424242: null, 42424242424242424: 'number_incomplete',
    55555555555544444: 'number_invalid', 378282246310005: null, 6200000000000000: null };
  for (const [digits, code] of Object.entries(checks)) assert.equal(checkNumber(digits), code, digits);
});

test('a card is good to the end of its month', () => {
  const check = (text) => checkExpiry(parseExpiry(text), NOVEMBER);
  assert.equal(check('11 / 26'), null);
  assert.equal(check('10 / 26'), 'expiry_past');
  assert.equal(check('13 / 30'), 'expiry_invalid');
  assert.equal(check('00 / 30'), 'expiry_invalid');
  assert.equal(check('12 / 99'), 'expiry_invalid');
  assert.equal(check(''), 'expiry_missing');
  assert.equal(check('12'), 'expiry_incomplete');
  assert.equal(check('12 / 3'), 'expiry_incomplete');
});

test('an expiry is read as people and browsers write it', () => {
  for (const text of ['12/30', '12 / 30', '1230', '12/2030', '122030', '2030-12', '12-30', '12.30']) {
    const { month, year } = parseExpiry(text);
    assert.deepEqual([month, year], ['12', '2030'], text);
  }
  for (const text of ['4/30', '430', '04/2030']) {
    const { month, year } = parseExpiry(text);
    assert.deepEqual([month, year], ['04', '2030'], text);
  }
});

test('a separator appears while typing and goes while deleting', () => {
  assert.equal(formatExpiry(parseExpiry('1')), '1');
  assert.equal(formatExpiry(parseExpiry('12')), '12 / ');
  assert.equal(formatExpiry(parseExpiry('12'), { deleting: true }), '12');
  assert.equal(formatExpiry(parseExpiry('12 / 203')), '12 / 203');
  assert.equal(formatExpiry(parseExpiry('12 / 2030')), '12 / 30');
});

test('a security code has the length of its brand', () => {
  const { brand: visa } = detectBrand('4');
  const { brand: amex } = detectBrand('34');
  assert.deepEqual([checkCvc('123', visa), checkCvc('12', visa), checkCvc('1234', visa)],
    [null, 'cvc_incomplete', 'cvc_incomplete']);
  assert.deepEqual([checkCvc('1234', amex), checkCvc('123', amex), checkCvc('', amex)],
    [null, 'cvc_incomplete', 'cvc_missing']);
});

test('numbers are grouped as on the card', () => {
  assert.equal(formatNumber('4242424242424242'), '4242 4242 4242 4242');
  assert.equal(formatNumber('378282246310005'), '3782 822463 10005');
  assert.equal(formatNumber('42424'), '4242 4');
  assert.equal(formatNumber(''), '');
});

test('no more than eight digits are ever told of a number', () => {
  const whole = '4242424242424242';
  const told = Array.from(whole, (_, at) => binOf(whole.slice(0, at + 1)));
  assert.deepEqual(told.slice(0, 8), Array(8).fill(null));
  assert.deepEqual(told.slice(8, 15), Array(7).fill('424242'));
  assert.equal(told[15], '42424242');
  assert.equal(binOf('378282246310005'), '378282');
  assert.equal(binOf('4242424242424241'), '424242');
});
