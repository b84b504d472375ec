// The hosted document: waits for its parent, then lets a customer pay.
//
// Theory of operation. The document knows from the server, by its own attributes, which publishable
// key it is for, which origins that merchant has registered, and what to say in its language. The
// first window message that comes from the parent, of one of these origins, in the right shape,
// brings a port; from then on window messages are not listened to any more. The port is asked to
// confirm, focus, clear or restyle, and told of events. Nothing that it is told has room for a card
// number, and what is not on the list of notices does not leave.

import { NOTICES } from '../shared/notices.js';
import { REQUESTS } from '../shared/requests.js';
import { isMessage } from '../shared/shapes.js';
import { applyAppearance } from './appearance.js';
import { isConnect } from './connect.js';
import { CardForm } from './form.js';
import { PaymentError, Payments } from './payments.js';

const root = document.documentElement;
const { key } = root.dataset;
const allowedOrigins = JSON.parse(root.dataset.origins);
const texts = JSON.parse(root.dataset.texts); // of the document's language
const textOf = (code) => (Object.hasOwn(texts, code) ? texts[code] : undefined);

class Session {
  #port;
  #session;
  #payments;
  #form;
  #busy = false;

  constructor(port, { session, clientSecret, appearance }) {
    this.#port = port;
    this.#session = session;
    this.#payments = new Payments(key, clientSecret, {
      fetch: (...request) => fetch(...request),
      sleep: (ms) => new Promise((done) => { setTimeout(done, ms); }),
      now: () => performance.now(),
      uuid: () => crypto.randomUUID(),
    });
    this.#form = new CardForm(document, texts, (type, rest) => this.#tell(type, rest));
    this.#restyle(appearance);
    port.onmessage = ({ data }) => this.#receive(data);
    new ResizeObserver(() => this.#tell('height', {
      px: Math.ceil(document.getElementById('card').getBoundingClientRect().height),
    })).observe(document.getElementById('card'));
    this.#payments.prepare();
    root.classList.add('ready');
    this.#tell('ready');
  }

  #tell(type, rest = {}) {
    const message = { session: this.#session, type, ...rest };
    if (isMessage(message, NOTICES, this.#session)) this.#port.postMessage(message);
  }

  #receive(message) {
    if (!isMessage(message, REQUESTS, this.#session)) return;
    if (message.type === 'confirm') this.#confirm(message.id);
    else if (message.type === 'focus') this.#form.focus(message.field);
    else if (message.type === 'clear' && !this.#busy) this.#form.clear();
    else if (message.type === 'update') this.#restyle(message.appearance);
  }

  #restyle(appearance) {
    const refused = applyAppearance(root, appearance);
    if (refused.length === 0) return;
    const message = `not allowed in appearance: ${refused.slice(0, 5).join(', ')}`.slice(0, 500);
    this.#tell('error', { error: { code: 'appearance_refused', field: null, message } });
  }

  async #confirm(id) {
    if (this.#busy) {
      this.#refuse(id, { code: 'confirmation_pending', field: null });
      return;
    }
    const fault = this.#form.firstFault();
    if (fault) {
      this.#refuse(id, fault);
      return;
    }
    this.#busy = true;
    this.#form.setBusy(true);
    try {
      const intent = await this.#payments.confirm(this.#form.values());
      this.#settle(id, intent);
    } catch (error) {
      const code = error instanceof PaymentError ? error.code : 'payment_failed';
      this.#refuse(id, { code: String(code), field: null });
    } finally {
      this.#busy = false;
      this.#form.setBusy(false);
    }
  }

  #refuse(id, { code, field, message = textOf(code) ?? texts.payment_failed }) {
    const error = { code, field, message };
    this.#tell('refused', { id, error });
    this.#tell('error', { error });
  }

  #settle(id, { id: paymentIntent, status, amountInCents, currency, lastError }) {
    const paid = status === 'succeeded' || status === 'authorized';
    if (paid) this.#form.clear();
    const error = paid || !lastError ? null : failureOf(lastError);
    if (error) this.#form.say(error.message);
    this.#tell('confirmed', { id, result: { paymentIntent, status, amountInCents, currency, error } });
  }
}

function failureOf({ code, declineCode, advice }) {
  const message = textOf(declineCode) ?? (advice === 'retry_later' ? texts.retry_later : undefined)
    ?? textOf(code) ?? texts.payment_failed;
  return { code, declineCode: declineCode ?? null, advice: advice ?? null, message };
}

function greet(event) {
  if (event.source !== window.parent || !allowedOrigins.includes(event.origin)) return;
  if (!isConnect(event.data) || event.ports.length !== 1) return;
  window.removeEventListener('message', greet);
  new Session(event.ports[0], event.data);
}

if (window.parent !== window) window.addEventListener('message', greet);
