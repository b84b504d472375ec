// What can be told of a card from what is typed: brand, check digit, expiry, lengths. Pure.

// Prefixes as inclusive ranges of equally long numbers; of several that fit the longest wins.
const BRANDS = [
  { name: 'visa', prefixes: ['4'], lengths: [13, 16, 19] },
  { name: 'mastercard', prefixes: ['51-55', '2221-2720'], lengths: [16] },
  { name: 'amex', prefixes: ['34', '37'], lengths: [15], cvc: 4, groups: [4, 6, 5] },
  { name: 'discover', prefixes: ['6011', '644-649', '65'], lengths: [16, 17, 18, 19] },
  { name: 'diners', prefixes: ['300-305', '3095', '36', '38-39'], lengths: [14, 15, 16, 17, 18, 19],
    groups: [4, 6, 4] },
  { name: 'jcb', prefixes: ['3528-3589'], lengths: [16, 17, 18, 19] },
  { name: 'unionpay', prefixes: ['62', '81'], lengths: [14, 15, 16, 17, 18, 19], luhn: false },
  { name: 'maestro', prefixes: ['493698', '50', '56-59', '6'],
    lengths: [12, 13, 14, 15, 16, 17, 18, 19] },
  { name: 'mir', prefixes: ['2200-2204'], lengths: [16, 17, 18, 19] },
  { name: 'elo', prefixes: ['401178', '401179', '438935', '457631', '457632', '431274', '451416',
    '457393', '504175', '506699-506778', '509000-509999', '627780', '636297', '636368',
    '650031-650033', '650035-650051', '650405-650439', '650485-650538', '650541-650598',
    '650700-650718', '650720-650727', '650901-650978', '651652-651679', '655000-655019',
    '655021-655058'], lengths: [16] },
].map(({ cvc = 3, groups = [4, 4, 4, 4, 3], luhn = true, prefixes, ...rest }) => ({
  cvc, groups, luhn, ...rest,
  ranges: prefixes.map((prefix) => {
    const [low, high = low] = prefix.split('-');
    return { low, high };
  }),
}));
const UNKNOWN = { name: null, lengths: [12, 13, 14, 15, 16, 17, 18, 19], cvc: 3, luhn: true,
  groups: [4, 4, 4, 4, 3] };

export const NUMBER_MAX = 19;
export const digitsOf = (text) => text.replace(/[^0-9]/g, '');

// How many digits of a range a number is known to fall in; 0 = it does not.
function fit({ low, high }, digits) {
  const head = digits.slice(0, low.length);
  return head.length === low.length && head >= low && head <= high ? low.length : 0;
}

const mayFit = ({ low, high }, digits) => {
  const { length } = digits;
  return length < low.length && digits >= low.slice(0, length) && digits <= high.slice(0, length);
};

const longest = (brand, digits) => Math.max(...brand.ranges.map((range) => fit(range, digits)));

// The brand by its longest prefix, and every brand that the number may still be or also be.
export function detectBrand(digits) {
  const fitting = BRANDS.map((brand) => [longest(brand, digits), brand])
    .filter(([length]) => length > 0).sort(([a], [b]) => b - a);
  const possible = digits === '' ? [] : BRANDS.filter((brand) => (
    longest(brand, digits) > 0 || brand.ranges.some((range) => mayFit(range, digits))));
  return { brand: fitting.length ? fitting[0][1] : UNKNOWN, candidates: possible.map((b) => b.name) };
}

export function passesLuhn(digits) {
  let sum = 0;
  for (let at = 0; at < digits.length; at += 1) {
    const digit = Number(digits[digits.length - 1 - at]);
    const doubled = at % 2 ? 2 * digit : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

// Each check gives null where all is well, or a code of what is wrong.
export function checkNumber(digits) {
  if (digits === '') return 'number_missing';
  const { brand } = detectBrand(digits);
  if (digits.length < Math.min(...brand.lengths)) return 'number_incomplete';
  if (!brand.lengths.includes(digits.length)) {
    return digits.length < Math.max(...brand.lengths) ? 'number_incomplete' : 'number_invalid';
  }
  return !brand.luhn || passesLuhn(digits) ? null : 'number_invalid';
}

// `now` is a Date. A month is good to its end, in whatever time zone the customer is.
export function checkExpiry({ month, year }, now) {
  if (month === '' && year === '') return 'expiry_missing';
  if (month.length < 2 || year.length < 4) return 'expiry_incomplete';
  if (Number(month) < 1 || Number(month) > 12) return 'expiry_invalid';
  const months = Number(year) * 12 + Number(month) - 1;
  const current = now.getFullYear() * 12 + now.getMonth();
  if (months < current) return 'expiry_past';
  return months > current + 12 * 30 ? 'expiry_invalid' : null;
}

export function checkCvc(digits, brand) {
  if (digits === '') return 'cvc_missing';
  return digits.length === brand.cvc ? null : 'cvc_incomplete';
}

// The name is optional; what is sealed has room for 200 bytes of it.
export const checkName = (name) => (
  new TextEncoder().encode(name).length <= 200 ? null : 'name_too_long');

// 6 digits once 9 are there, 8 of a whole number of 16 or more: never what the rest could complete.
export function binOf(digits) {
  if (digits.length >= 16 && checkNumber(digits) === null) return digits.slice(0, 8);
  return digits.length >= 9 ? digits.slice(0, 6) : null;
}

export function formatNumber(digits) {
  const parts = [];
  let rest = digits;
  for (const size of detectBrand(digits).brand.groups) {
    if (rest) parts.push(rest.slice(0, size));
    rest = rest.slice(size);
  }
  return parts.concat(rest || []).join(' ');
}

// `1` waits for its second digit, `4` can only be April; a year may be typed or filled in with four
// digits, of which `typed` keeps what is there. `year` has four digits or is not whole yet.
export function parseExpiry(text) {
  const iso = /^\s*(20\d\d)-(\d\d)\s*$/.exec(text);
  if (iso) return { month: iso[2], typed: iso[1], year: iso[1] };
  let digits = digitsOf(text);
  if (/^[2-9]/.test(digits) || /^\D*\d[^0-9]+\d/.test(text)) digits = `0${digits}`;
  const month = digits.slice(0, 2);
  const rest = digits.slice(2);
  const typed = rest.slice(0, rest.startsWith('20') ? 4 : 2);
  return { month, typed, year: typed.length === 2 ? `20${typed}` : typed };
}

export function formatExpiry({ month, typed }, { deleting = false } = {}) {
  if (month.length < 2 || (deleting && typed === '')) return month;
  return `${month} / ${typed.length === 4 ? typed.slice(2) : typed}`;
}
