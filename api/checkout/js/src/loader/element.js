// One card form on the merchant's page: an iframe of ours and a port into it.
//
// Theory of operation. This code runs among the merchant's, so it never holds card data and never
// listens to window messages: nothing can be forged at it. When the iframe has loaded, one message
// goes out, with our origin as its exact target, and carries the only port. Whatever document is
// there by then, it gets the port only if it is ours; the document, for its part, takes one port
// only, from its parent, of an origin that the merchant has registered.

import { CONNECT, VERSION } from '../shared/connect.js';
import { NOTICES } from '../shared/notices.js';
import { isMessage } from '../shared/shapes.js';
import { TurnoutError, fail } from './errors.js';

const EVENTS = ['ready', 'change', 'focus', 'blur', 'brand', 'bin', 'submit', 'error'];
const READY_TIMEOUT_MS = 15000;
const UNREADY = 'wait for the event ready';

export class CardElement {
  #api;
  #options;
  #listeners = new Map(EVENTS.map((name) => [name, new Set()]));
  #frame = null;
  #port = null;
  #session = '';
  #ready = false;
  #destroyed = false;
  #timer = 0;
  #pending = null; // the confirmation under way: {id, resolve, reject}
  #confirmations = 0;

  constructor(api, options) {
    this.#api = api; // {origin, key, locale}
    this.#options = options; // {clientSecret, appearance}
  }

  // Put the form into an element of the page, given itself or by a selector.
  mount(target) {
    if (this.#destroyed) throw fail('destroyed', 'it was destroyed');
    if (this.#frame) throw fail('already_mounted', 'it is mounted already');
    const place = typeof target === 'string' ? document.querySelector(target) : target;
    if (!(place instanceof Element)) throw fail('no_such_place', 'there is nothing to mount into');
    const { origin, key, locale } = this.#api;
    const frame = document.createElement('iframe');
    frame.src = `${origin}/checkout/fields?${new URLSearchParams({ key, locale })}`;
    frame.title = this.#api.title;
    frame.allow = 'autofill';
    frame.referrerPolicy = 'strict-origin';
    frame.style.cssText = 'border:0;width:100%;height:236px;display:block';
    frame.addEventListener('load', () => this.#connect(frame));
    this.#frame = frame;
    this.#timer = setTimeout(() => this.#lost(), READY_TIMEOUT_MS);
    place.replaceChildren(frame);
    return this;
  }

  on(name, listener) {
    if (!this.#listeners.has(name)) throw fail('no_such_event', `there is no event ${name}`);
    this.#listeners.get(name).add(listener);
    return this;
  }

  // Pay. One at a time; resolves with the intent's final status, declines included.
  confirm() {
    if (!this.#ready) return Promise.reject(fail('not_ready', UNREADY));
    if (this.#pending) {
      return Promise.reject(fail('confirmation_pending', 'a confirmation is under way already'));
    }
    return new Promise((resolve, reject) => {
      this.#pending = { id: ++this.#confirmations, resolve, reject };
      this.#send('confirm', { id: this.#pending.id });
    });
  }

  update({ appearance = {} } = {}) {
    this.#options = { ...this.#options, appearance };
    if (this.#ready) this.#send('update', { appearance: this.#appearance() });
    return this;
  }

  focus(field = 'number') {
    this.#demandReady();
    this.#frame.focus();
    this.#send('focus', { field });
  }

  clear() {
    this.#demandReady();
    this.#send('clear');
  }

  unmount() {
    clearTimeout(this.#timer);
    this.#port?.close();
    this.#frame?.remove();
    this.#port = this.#frame = null;
    this.#ready = false;
    const pending = this.#pending;
    this.#pending = null;
    pending?.reject(fail('unmounted', 'the form was taken away while the payment was under way'));
  }

  destroy() {
    this.unmount();
    this.#destroyed = true;
    this.#listeners.forEach((listeners) => listeners.clear());
  }

  #demandReady() {
    if (!this.#ready) throw fail('not_ready', UNREADY);
  }

  #connect(frame) {
    // Unmounted meanwhile; or answered already: whatever has loaded since gets nothing.
    if (frame !== this.#frame || this.#ready) return;
    this.#port?.close();
    const { port1, port2 } = new MessageChannel();
    const random = crypto.getRandomValues(new Uint8Array(16));
    this.#session = Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
    this.#port = port1;
    port1.onmessage = ({ data }) => this.#receive(data);
    const hello = {
      turnout: CONNECT, version: VERSION, session: this.#session,
      clientSecret: this.#options.clientSecret, appearance: this.#appearance(),
    };
    frame.contentWindow.postMessage(hello, this.#api.origin, [port2]);
  }

  // A page that does not know dark would get a dark box.
  #appearance() {
    const theme = /dark/.test(getComputedStyle(this.#frame).colorScheme) ? 'auto' : 'light';
    return { theme, ...this.#options.appearance };
  }

  #send(type, rest = {}) {
    this.#port.postMessage({ session: this.#session, type, ...rest });
  }

  #receive(message) {
    if (!isMessage(message, NOTICES, this.#session)) return;
    const { session: _session, type, ...rest } = message;
    if (type === 'height') this.#frame.style.height = `${rest.px}px`;
    else if (type === 'confirmed') this.#settle(rest.id, (pending) => pending.resolve(rest.result));
    else if (type === 'refused') {
      this.#settle(rest.id, (pending) => pending.reject(new TurnoutError(rest.error)));
    } else {
      if (type === 'ready') {
        this.#ready = true;
        clearTimeout(this.#timer);
      }
      this.#emit(type, type === 'error' ? new TurnoutError(rest.error) : rest);
    }
  }

  #settle(id, end) {
    const pending = this.#pending;
    if (pending?.id !== id) return;
    this.#pending = null;
    end(pending);
  }

  #emit(name, value) {
    for (const listener of this.#listeners.get(name)) {
      // One listener's fault is reported as the page's, and keeps no event from the others.
      try { listener(value); } catch (error) { reportError(error); }
    }
  }

  #lost() {
    this.#emit('error', fail('fields_unavailable', 'no answer: is this origin registered?'));
  }
}
