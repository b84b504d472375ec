// A merchant's client of a Turnout server: Node 18 or later, no dependencies.
//
//   import { Turnout } from 'turnout-client';
//   const turnout = new Turnout('pk_test_…', 'sk_test_…', 'http://127.0.0.1:8080');
//   const intent = await turnout.createPaymentIntent({ amountInCents: 2499, currency: 'usd' });
//
// Objects go and come as docs/http-api.md has them: plain, in camelCase.
export { Turnout } from './client.js';
export { APIError, ConnectionLostError } from './errors.js';
export { sealCard } from './seal.js';
export { canonicalString, signature } from './sign.js';
export { verifyWebhook, WebhookError } from './webhooks.js';
