// turnout.js: what a merchant's page loads. `Turnout(publishableKey, {locale})` is all it defines.

import { CardElement } from './element.js';
import { fail } from './errors.js';

const LOCALES = ['en', 'de', 'ar'];
const TITLES = { en: 'Card details', de: 'Kartendaten', ar: 'بيانات البطاقة' };
const KEY = /^pk_(?:test|live)_[A-Za-z0-9_]{4,64}$/;
const CLIENT_SECRET = /^pi_[0-9A-Za-z]{22}_secret_[A-Za-z0-9_-]{16,64}$/;

// The API is where this script came from, so it must be a plain <script src>, not a bundled copy.
const source = document.currentScript?.src;

function chooseLocale(wanted) {
  const primary = String(wanted || 'en').toLowerCase().split(/[-_]/)[0];
  return LOCALES.includes(primary) ? primary : 'en';
}

function Turnout(key, { locale = document.documentElement.lang } = {}) {
  if (!source) throw fail('bad_install', 'turnout.js must be loaded by a script element of its own');
  if (/^sk_/.test(key)) throw fail('secret_key', 'this is a secret key: revoke it, it was in a browser');
  if (typeof key !== 'string' || !KEY.test(key)) throw fail('invalid_key', 'not a publishable key');
  const chosen = chooseLocale(locale);
  const api = Object.freeze({
    origin: new URL(source).origin, key, locale: chosen, title: TITLES[chosen],
  });
  return Object.freeze({
    fields({ clientSecret, appearance = {} } = {}) {
      if (typeof clientSecret !== 'string' || !CLIENT_SECRET.test(clientSecret)) {
        throw fail('invalid_client_secret', 'clientSecret is not one of a payment intent');
      }
      return Object.freeze({
        create(kind) {
          if (kind !== 'card') throw fail('no_such_element', 'there is only the element card');
          return new CardElement(api, { clientSecret, appearance });
        },
      });
    },
  });
}

window.Turnout = Turnout;
