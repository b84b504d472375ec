// The merchant's colors and sizes, each property and each value from a list of what is harmless.
//
// A value never becomes a part of a style sheet's text: it is set through CSSOM, one property at a
// time, after its pattern. Nothing here can load, move, hide or cover anything.

const SELECTORS = {
  label: 'label',
  input: 'input',
  'input:focus': 'input:focus-visible',
  'input:invalid': 'input[aria-invalid="true"]',
  'input::placeholder': 'input::placeholder',
  error: '.error',
};

const COLOR = /^(?:#[0-9a-f]{3,4}|#[0-9a-f]{6}|#[0-9a-f]{8}|[a-z]{3,20}|(?:rgb|hsl)a?\([0-9.,%/ deg]{1,40}\))$/i;
const LENGTH = '(?:0|[0-9]{1,2}(?:\\.[0-9]{1,3})?(?:px|rem|em))';
const one = new RegExp(`^${LENGTH}$`);
const upToFour = new RegExp(`^${LENGTH}(?: ${LENGTH}){0,3}$`);
const PROPERTIES = {
  color: COLOR,
  'background-color': COLOR,
  'border-color': COLOR,
  'outline-color': COLOR,
  'border-width': one,
  'border-radius': one,
  'border-style': /^(?:solid|dashed|dotted|none)$/,
  'font-size': one,
  'font-family': /^[a-z0-9 ,'"-]{1,120}$/i,
  'font-weight': /^(?:normal|bold|[1-9]00)$/,
  'letter-spacing': one,
  'line-height': /^[1-3](?:\.[0-9]{1,2})?$/,
  padding: upToFour,
};
const THEMES = ['auto', 'light', 'dark'];
const REFUSED = /url|expression|import|var\(|attr\(|env\(|[;{}\\@<>]/i; // also where a pattern is lax

const dashed = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

// The declarations that are allowed, and the names of those that are not.
export function readAppearance(appearance) {
  const allowed = [];
  const refused = [];
  const { theme = 'auto', rules = {}, ...others } = appearance;
  refused.push(...Object.keys(others));
  if (!THEMES.includes(theme)) refused.push('theme');
  for (const [name, declarations] of Object.entries(rules ?? {})) {
    if (!Object.hasOwn(SELECTORS, name) || typeof declarations !== 'object' || !declarations) {
      refused.push(name);
      continue;
    }
    for (const [property, value] of Object.entries(declarations)) {
      const css = dashed(property);
      const fits = Object.hasOwn(PROPERTIES, css) && typeof value === 'string'
        && value.length <= 120 && PROPERTIES[css].test(value) && !REFUSED.test(value);
      if (fits) allowed.push({ selector: SELECTORS[name], property: css, value });
      else refused.push(`${name} ${property}`);
    }
  }
  return { theme: THEMES.includes(theme) ? theme : 'auto', allowed, refused };
}

// Puts an appearance in the place of the one before; gives the names of what it refused.
export function applyAppearance(root, appearance) {
  const { theme, allowed, refused } = readAppearance(appearance);
  root.dataset.theme = theme;
  const sheet = new CSSStyleSheet();
  for (const { selector, property, value } of allowed) {
    const index = sheet.insertRule(`#card ${selector}{}`, sheet.cssRules.length);
    sheet.cssRules[index].style.setProperty(property, value);
  }
  root.ownerDocument.adoptedStyleSheets = [sheet];
  return refused;
}
