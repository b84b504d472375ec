// What tests/node/test_client.py asks of the Node client. Prints one line of JSON.
//
//   node drive.mjs vectors DIRECTORY
//   node drive.mjs call NAME URL ARGUMENTS        arguments as a JSON list
//   node drive.mjs webhook                        {secret, headers, body, nowS} on standard input
//   node drive.mjs pay CREDENTIALS NUMBER…
import { readFileSync } from 'node:fs';

import * as client from '../../clients/node/src/index.js';

const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
const attempt = async (work) => {
  try {
    return { value: (await work()) ?? null };
  } catch (error) {
    const { name, message, status, code, idempotencyKey } = error;
    return { error: { name, message, status, code, idempotencyKey } };
  }
};

const commands = {
  vectors(directory) {
    const signed = read(`${directory}/signing.json`).vectors.map((vector) => [vector.name,
      client.canonicalString(vector), client.signature(vector.secretKey, vector)]);
    const sealed = read(`${directory}/card.json`).seals.map((vector) => {
      const publicKey = Buffer.from(vector.publicKey, 'hex').toString('base64url');
      const { publishableKey, intent } = vector.context;
      return [vector.name, client.sealCard({ ...vector, publicKey }, publishableKey, intent,
        vector.card, Buffer.from(vector.ephemeralPrivateKey, 'hex'))];
    });
    return { signed, sealed };
  },
  call(name, url, given) {
    const turnout = new client.Turnout('pk_test_docs', 'sk_test_docs', url, { backoffMs: 1 });
    return attempt(() => turnout[name](...JSON.parse(given)));
  },
  methods() {
    return Object.getOwnPropertyNames(client.Turnout.prototype);
  },
  webhook() {
    const { secret, headers, body, nowS } = read(0);
    return attempt(async () => client.verifyWebhook(secret, headers, Buffer.from(body), { nowS }));
  },
  async pay(path, ...numbers) {
    const { publishableKey, secretKey, apiUrl } = read(path);
    const turnout = new client.Turnout(publishableKey, secretKey, apiUrl);
    const year = String(new Date().getUTCFullYear() + 1);
    const outcomes = [];
    for (const number of numbers) {
      const metadata = { order: `card ${number.slice(-4)}` };
      const { id } = await turnout.createPaymentIntent({ amountInCents: 2499, currency: 'usd',
        metadata });
      await turnout.charge(id, await turnout.seal(id, { number, month: '12', year, cvc: '123' }));
      const { status, lastError } = await turnout.wait(id);
      const found = await turnout.listPaymentIntents({ metadata });
      outcomes.push([number, status, lastError?.declineCode ?? null, found.data.length]);
    }
    return outcomes;
  },
};

const [command, ...rest] = process.argv.slice(2);
console.log(JSON.stringify(await commands[command](...rest)));
