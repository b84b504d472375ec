// What the hosted document tells the merchant's page. No message has room for a card number.

import {
  FIELDS, bool, integer, listOf, matching, nullable, oneOf, shaped, text,
} from './shapes.js';

const word = matching(/^[a-z0-9_]{1,40}$/);
const error = shaped({ code: word, field: nullable(oneOf(FIELDS)), message: text(500) });
const fieldState = shaped({ empty: bool, complete: bool, error: nullable(word) });
const failure = shaped({
  code: word, declineCode: nullable(word), advice: nullable(word), message: text(500),
});

export const NOTICES = {
  ready: {},
  height: { px: integer(4000) },
  change: {
    complete: bool,
    empty: bool,
    fields: shaped(Object.fromEntries(FIELDS.map((name) => [name, fieldState]))),
  },
  focus: { field: oneOf(FIELDS) },
  blur: { field: oneOf(FIELDS) },
  brand: { brand: nullable(word), candidates: listOf(word, 12) },
  bin: { bin: nullable(matching(/^[0-9]{6}(?:[0-9]{2})?$/)) },
  submit: {},
  error: { error },
  confirmed: {
    id: integer(1e9),
    result: shaped({
      paymentIntent: matching(/^pi_[0-9A-Za-z]{22}$/),
      status: word,
      amountInCents: integer(Number.MAX_SAFE_INTEGER),
      currency: matching(/^[a-z]{3}$/),
      error: nullable(failure),
    }),
  },
  refused: { id: integer(1e9), error },
};
