import { createHmac, timingSafeEqual } from 'node:crypto';

const TOLERANCE_S = 300;

/** A request that is no webhook of ours, or an old one. Answer it 400. */
export class WebhookError extends Error {
  name = 'WebhookError';
}

/**
 * The event that a request brings (Standard Webhooks, version 1). It may come twice, with the same
 * `id`: remember those that were handled.
 *
 * @param {string} secret the endpoint's, `whsec_…`
 * @param {Record<string, string | string[] | undefined>} headers names in lower case, as Node has
 * @param {Uint8Array} body exactly as received
 * @param {{toleranceS?: number, nowS?: number}} [options]
 * @returns {Record<string, any>}
 */
export function verifyWebhook(secret, headers, body, options = {}) {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  if (!secret.startsWith('whsec_') || key.length === 0) {
    throw new TypeError('secret: must be whsec_ and base64');
  }
  const [id, timestamp, signatures] = ['id', 'timestamp', 'signature'].map((name) => {
    const value = headers[`webhook-${name}`];
    if (typeof value !== 'string') throw new WebhookError(`the header webhook-${name} is missing`);
    return value;
  });
  if (!/^[0-9]{1,12}$/.test(timestamp)) throw new WebhookError('webhook-timestamp is no time');
  const { toleranceS = TOLERANCE_S, nowS = Date.now() / 1000 } = options;
  if (Math.abs(nowS - Number(timestamp)) > toleranceS) {
    throw new WebhookError(`webhook-timestamp is more than ${toleranceS} s off`);
  }
  const signed = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body);
  const expected = Buffer.from(`v1,${signed.digest('base64')}`);
  const isRight = (one) => one.length === expected.length && timingSafeEqual(one, expected);
  if (!signatures.split(/\s+/).some((one) => isRight(Buffer.from(one)))) {
    throw new WebhookError('no signature is right for this secret');
  }
  let event;
  try {
    event = JSON.parse(Buffer.from(body).toString('utf8'));
  } catch {
    event = null;
  }
  if (event === null || typeof event !== 'object' || Array.isArray(event)) {
    throw new WebhookError('the body is not a JSON object');
  }
  return event;
}
