// The shop's page: choose, pay by the hosted card fields, ask the shop's server how it ended.
'use strict';

const at = (id) => document.getElementById(id);
const params = new URLSearchParams(location.search);
let card = null;
let order = null;

const price = ({ amountInCents, currency }) => new Intl.NumberFormat('en-US', {
  style: 'currency', currency,
}).format(amountInCents / 100);

function show(id, focus) {
  for (const name of ['choose', 'checkout', 'done']) at(name).hidden = name !== id;
  if (focus) at(focus).focus();
}

async function ask(method, path, body) {
  const response = await fetch(path, {
    method, body: body && JSON.stringify(body),
    headers: body ? { 'Content-Type': 'application/json' } : {},
  });
  if (!response.ok) throw new Error('The shop does not answer. Try again in a moment.');
  return response.json();
}

function offerCard() {
  const turnout = window.Turnout(document.body.dataset.key, { locale: params.get('locale') ?? 'en' });
  card?.destroy();
  card = turnout.fields({ clientSecret: order.clientSecret }).create('card');
  card.on('ready', () => { at('pay-button').disabled = false; });
  card.on('submit', () => at('pay').requestSubmit());
  card.on('error', (error) => { if (!error.field) at('said').textContent = error.message; });
  at('pay-button').disabled = true;
  at('pay-button').textContent = `Pay ${price(order)}`;
  card.mount('#card');
}

async function checkOut(event) {
  event.preventDefault();
  const good = new FormData(at('goods')).get('good');
  at('choose-said').textContent = good ? '' : 'Choose something first.';
  if (!good) return;
  try {
    order = await ask('POST', '/orders', { good });
    at('bill-name').textContent = order.name;
    at('bill-price').textContent = price(order);
    at('said').textContent = '';
    show('checkout', 'checkout-title');
    offerCard();
  } catch (error) {
    at('choose-said').textContent = error.message;
  }
}

async function pay(event) {
  event.preventDefault();
  if (at('pay-button').disabled) return;
  at('pay-button').disabled = true;
  at('back').disabled = true; // the payment is under way: its outcome is waited for
  at('said').textContent = '';
  try {
    const { error, status } = await card.confirm();
    if (status === 'failed') at('said').textContent = error?.message ?? 'The payment failed.';
    else await finish();
  } catch (error) {
    // What is wrong with a field stands beside it already.
    if (!error.field) at('said').textContent = error.message;
  } finally {
    at('pay-button').disabled = false;
    at('back').disabled = false;
  }
}

// The browser has said how it ended; what counts is what the shop's server finds.
async function finish() {
  const found = await ask('GET', `/orders/${order.order}`);
  const paid = found.status === 'succeeded';
  at('done').classList.toggle('open', !paid);
  at('done-title').textContent = paid ? 'Thank you, it is paid' : 'We do not know yet';
  at('done-text').textContent = paid
    ? 'Your track leaves the yard today.'
    : 'The card network has not said what became of the payment. Do not pay again: we will find out.';
  at('done-order').textContent = found.order;
  at('done-amount').textContent = price(found);
  at('done-card').textContent = found.card ?? '-';
  card.destroy();
  card = null;
  show('done', 'done-title');
}

at('goods').addEventListener('submit', checkOut);
at('pay').addEventListener('submit', pay);
at('again').addEventListener('click', () => show('choose'));
at('back').addEventListener('click', () => show('choose'));
