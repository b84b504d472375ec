// Brands and checks as other people's tables have them: credit-card-type, card-validator (MIT).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import cardType from 'credit-card-type';
import validator from 'card-validator';
import { checkNumber, detectBrand, passesLuhn } from '../src/fields/card.js';

const creditCardType = cardType.default ?? cardType;
const NAMES = { 'american-express': 'amex', 'diners-club': 'diners' };
// Where we differ, on purpose: brands that no network here has; JCB's prefixes of 15 digits, out of
// use; Diners' 3095 (ISO/IEC 7812); and all of 62 and 81 are UnionPay's, whatever else shares them.
const DIFFERENT = new Set(['null jcb', 'diners null', 'visa naranja', 'maestro verve',
  'maestro hipercard', 'unionpay maestro', 'unionpay null', 'discover troy', 'null troy']);

test('brands are those of the other table, but where we mean it', () => {
  const found = new Set();
  for (let prefix = 100000; prefix < 1000000; prefix += 7) {
    const ours = detectBrand(String(prefix)).brand.name;
    const [best] = creditCardType(String(prefix));
    const theirs = best ? NAMES[best.type] ?? best.type : null;
    if (ours !== theirs) found.add(`${ours} ${theirs}`);
  }
  assert.deepEqual(found, DIFFERENT);
});

test('numbers are valid for both or for neither', () => {
  let compared = 0;
  const prefixes = ['4242', '5555', '2221', '378', '6011', '3530', '36', '6759', '220', '636297'];
  for (const prefix of prefixes) {
    const { brand } = detectBrand(prefix.padEnd(6, '0'));
    for (const length of brand.lengths) {
      for (let last = 0; last < 10; last += 1) {
        const digits = prefix.padEnd(length - 1, '7') + last;
        const { isValid, card } = validator.number(digits);
        // Theirs knows fewer lengths of some brands; where it knows the length it must agree.
        if (card?.lengths.includes(length)) {
          assert.equal(checkNumber(digits) === null, isValid, digits);
          assert.equal(passesLuhn(digits), isValid, digits);
          compared += 1;
        }
      }
    }
  }
  assert.ok(compared >= 100);
});
