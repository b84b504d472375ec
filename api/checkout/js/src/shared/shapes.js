// What the loader and the hosted document say to each other is checked by these, on either side.
//
// The loader hands one MessagePort over with one window message (connect.js); after that nothing but
// the port is listened to. Each message on it is a flat object with the handshake's session and a
// `type`, one of requests.js or of notices.js; whoever receives another shape drops it.

export const FIELDS = ['number', 'expiry', 'cvc', 'name'];

export const text = (max) => (value) => typeof value === 'string' && value.length <= max;
export const matching = (pattern) => (value) => typeof value === 'string' && pattern.test(value);
export const oneOf = (values) => (value) => values.includes(value);
export const integer = (max) => (value) => Number.isInteger(value) && value >= 0 && value <= max;
export const bool = (value) => typeof value === 'boolean';
export const object = (value) => (
  typeof value === 'object' && value !== null && !Array.isArray(value));
export const nullable = (check) => (value) => value === null || check(value);
export const listOf = (check, max) => (value) => (
  Array.isArray(value) && value.length <= max && value.every(check));
export const shaped = (shape) => (value) => object(value)
  && Object.keys(value).length === Object.keys(shape).length
  && Object.entries(shape).every(([name, check]) => Object.hasOwn(value, name) && check(value[name]));

// Whether a value is a message of one of these kinds, under the nonce of this frame.
export function isMessage(value, kinds, session) {
  if (!object(value) || value.session !== session || !Object.hasOwn(kinds, value.type)) return false;
  const { session: _session, type, ...rest } = value;
  return shaped(kinds[type])(rest);
}
