// What the merchant's page may ask of the hosted document.

import { FIELDS, integer, object, oneOf } from './shapes.js';

export const REQUESTS = {
  confirm: { id: integer(1e9) },
  update: { appearance: object },
  focus: { field: oneOf(FIELDS) },
  clear: {},
};
