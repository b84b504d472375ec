// Colors and sizes pass; what loads, moves, hides or breaks out does not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAppearance } from '../src/fields/appearance.js';

const read = (property, value) => readAppearance({ rules: { input: { [property]: value } } });

test('harmless declarations are taken over', () => {
  for (const [property, value] of [['color', '#123'], ['color', 'rebeccapurple'],
    ['color', 'rgb(1 2 3 / 50%)'], ['backgroundColor', '#11223344'], ['fontSize', '18px'],
    ['fontSize', '1.125rem'], ['padding', '8px 12px'], ['border-radius', '0'],
    ['fontFamily', '"Helvetica Neue", sans-serif'], ['fontWeight', '600'], ['border-style', 'solid']]) {
    assert.deepEqual(read(property, value).refused, [], `${property}: ${value}`);
  }
});

test('everything else is refused by name', () => {
  for (const [property, value] of [['color', 'url(https://evil.test/x)'], ['color', 'red;position:fixed'],
    ['color', 'expression(alert(1))'], ['color', 'var(--x)'], ['color', 'red}body{display:none'],
    ['backgroundImage', 'none'], ['background', '#fff'], ['position', 'fixed'], ['opacity', '0'],
    ['pointerEvents', 'none'], ['display', 'none'], ['transform', 'none'], ['content', '"x"'],
    ['fontSize', '1000px'], ['fontSize', '-1px'], ['fontFamily', 'x;@import "y"'], ['padding', '1px 2px 3px 4px 5px'],
    ['lineHeight', '0'], ['color', 7], ['constructor', '#fff'], ['fontFamily', 'attr(value)']]) {
    assert.deepEqual(read(property, value), { theme: 'auto', allowed: [], refused: [`input ${property}`] });
  }
});

test('unknown selectors, members and themes are refused', () => {
  assert.deepEqual(readAppearance({ rules: { body: { color: '#fff' }, 'input[value^="4"]': {} } }).refused,
    ['body', 'input[value^="4"]']);
  assert.deepEqual(readAppearance({ theme: 'neon', css: 'x' }).refused, ['css', 'theme']);
  assert.equal(readAppearance({ theme: 'dark' }).theme, 'dark');
});
