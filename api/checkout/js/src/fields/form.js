// The four inputs: what they show, accept and complain about.

import {
  NUMBER_MAX, binOf, checkCvc, checkExpiry, checkName, checkNumber, detectBrand, digitsOf,
  formatExpiry, formatNumber, parseExpiry,
} from './card.js';

const NAMES = ['number', 'expiry', 'cvc', 'name'];

export class CardForm {
  #inputs;
  #errors;
  #brandLabel;
  #live;
  #texts;
  #notify;
  #shown = Object.fromEntries(NAMES.map((name) => [name, null])); // the error that each shows
  #told = {}; // the last brand and BIN, as JSON

  // `notify(type, rest)` is told of what happens; `texts` are of the chosen language.
  constructor(document, texts, notify) {
    const at = (id) => document.getElementById(id);
    this.#inputs = Object.fromEntries(NAMES.map((name) => [name, at(name)]));
    this.#errors = Object.fromEntries(NAMES.map((name) => [name, at(`${name}-error`)]));
    this.#brandLabel = at('brand');
    this.#live = at('live');
    this.#texts = texts;
    this.#notify = notify;
    this.#label(document);
    for (const name of NAMES) this.#listen(name);
  }

  // The values to seal; only `checked()` says whether they are good.
  values() {
    const { month, year } = parseExpiry(this.#inputs.expiry.value);
    return {
      number: digitsOf(this.#inputs.number.value), month, year,
      cvc: digitsOf(this.#inputs.cvc.value), name: this.#inputs.name.value.trim(),
    };
  }

  // What is wrong with each field: null or a code.
  faults() {
    const { number, month, year, cvc, name } = this.values();
    return {
      number: checkNumber(number),
      expiry: checkExpiry({ month, year }, new Date()),
      cvc: checkCvc(cvc, detectBrand(number).brand),
      name: checkName(name),
    };
  }

  // Show every fault, go to the first; gives it as an error, or null.
  firstFault() {
    const faults = this.faults();
    for (const name of NAMES) this.#show(name, faults[name]);
    const name = NAMES.find((each) => faults[each]);
    if (!name) return null;
    this.#inputs[name].focus();
    return { code: faults[name], field: name, message: this.#texts[faults[name]] };
  }

  focus(name) {
    this.#inputs[name].focus();
  }

  clear() {
    for (const name of NAMES) {
      this.#inputs[name].value = '';
      this.#show(name, null);
    }
    this.#changed();
  }

  setBusy(busy) {
    for (const name of NAMES) this.#inputs[name].readOnly = busy;
  }

  say(message) {
    this.#live.textContent = message;
  }

  #label(document) {
    const texts = this.#texts;
    document.getElementById('card').setAttribute('aria-label', texts.form);
    for (const name of NAMES) {
      const label = document.querySelector(`label[for="${name}"]`);
      label.textContent = name === 'name' ? `${texts.name} (${texts.optional})` : texts[name];
    }
    this.#inputs.expiry.placeholder = texts.expiryHint;
  }

  #listen(name) {
    const input = this.#inputs[name];
    input.addEventListener('beforeinput', ({ inputType }) => {
      // A separator is ours, not the customer's: deleting goes for the digit before it.
      const at = input.selectionStart;
      if (inputType === 'deleteContentBackward' && at === input.selectionEnd) {
        const before = /[ /]+$/.exec(input.value.slice(0, at));
        if (before && name !== 'name') input.setSelectionRange(before.index, before.index);
      }
    });
    input.addEventListener('input', (event) => {
      this.#format(name, input, (event.inputType ?? '').startsWith('delete'));
      if (this.#shown[name]) this.#show(name, this.#afterTyping(name));
      this.#changed();
    });
    input.addEventListener('keydown', ({ key }) => key === 'Enter' && this.#notify('submit', {}));
    input.addEventListener('focus', () => this.#notify('focus', { field: name }));
    input.addEventListener('blur', () => {
      if (input.value !== '') this.#show(name, this.faults()[name]);
      this.#notify('blur', { field: name });
      this.#notifyChange();
    });
  }

  // While somebody types, only what has become right is said at once.
  #afterTyping(name) {
    const fault = this.faults()[name];
    return fault === null || fault.endsWith('_missing') ? null : this.#shown[name] && fault;
  }

  #format(name, input, deleting) {
    if (name === 'name') return;
    const digitsBefore = digitsOf(input.value.slice(0, input.selectionStart)).length;
    const atEnd = input.selectionStart === input.value.length;
    const digits = digitsOf(input.value);
    if (name === 'number') input.value = formatNumber(digits.slice(0, NUMBER_MAX));
    if (name === 'expiry') input.value = formatExpiry(parseExpiry(input.value), { deleting });
    if (name === 'cvc') {
      const { brand } = detectBrand(digitsOf(this.#inputs.number.value));
      input.value = digits.slice(0, brand.cvc);
    }
    if (atEnd) return;
    let at = 0;
    for (let left = digitsBefore; left > 0 && at < input.value.length; at += 1) {
      if (/[0-9]/.test(input.value[at])) left -= 1;
    }
    input.setSelectionRange(at, at);
  }

  #show(name, fault) {
    this.#shown[name] = fault;
    this.#inputs[name].setAttribute('aria-invalid', String(fault !== null));
    const message = fault === null ? '' : this.#texts[fault];
    if (this.#errors[name].textContent === message) return;
    this.#errors[name].textContent = message;
    this.say(message);
  }

  #changed() {
    const number = digitsOf(this.#inputs.number.value);
    const { brand, candidates } = detectBrand(number);
    this.#brandLabel.textContent = brand.name ?? '';
    this.#tellOnce('brand', { brand: brand.name, candidates });
    this.#tellOnce('bin', { bin: binOf(number) });
    this.#notifyChange();
  }

  #tellOnce(type, rest) {
    const json = JSON.stringify(rest);
    if (this.#told[type] === json) return;
    this.#told[type] = json;
    this.#notify(type, rest);
  }

  #notifyChange() {
    const faults = this.faults();
    const fields = Object.fromEntries(NAMES.map((name) => [name, {
      empty: this.#inputs[name].value === '',
      complete: faults[name] === null,
      error: this.#shown[name],
    }]));
    this.#tellOnce('change', {
      complete: NAMES.every((name) => faults[name] === null),
      empty: NAMES.every((name) => fields[name].empty),
      fields,
    });
  }
}
