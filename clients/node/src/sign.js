import { createHash, createHmac } from 'node:crypto';

/**
 * What is signed: ten lines.
 *
 * @typedef {object} SignedRequest
 * @property {string} publishableKey
 * @property {string} timestamp RFC 3339, UTC, whole seconds, Z
 * @property {string} nonce 16 to 64 of A-Z a-z 0-9 _ -, new for every try
 * @property {string} method in capitals
 * @property {string} host the Host header, with its port if it is sent with one
 * @property {string} target path and query exactly as sent
 * @property {string} contentType as sent, or empty
 * @property {string} idempotencyKey as sent, or empty
 * @property {string | Uint8Array} body as sent, or empty
 */

/**
 * @param {SignedRequest} request
 * @returns {string} the ten lines
 */
export function canonicalString(request) {
  const lines = ['turnout-v1', request.publishableKey, request.timestamp, request.nonce,
    request.method, request.host.toLowerCase(), request.target, request.contentType,
    request.idempotencyKey, createHash('sha256').update(request.body).digest('hex')];
  if (lines.some((line) => line.includes('\n'))) throw new TypeError('a part holds a line feed');
  return lines.join('\n');
}

/**
 * @param {string} secretKey `sk_…`, whole
 * @param {SignedRequest} request
 * @returns {string} the value of `X-Signature`
 */
export function signature(secretKey, request) {
  const digest = createHmac('sha256', secretKey).update(canonicalString(request)).digest('hex');
  return `sha256=${digest}`;
}
