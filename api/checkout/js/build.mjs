// Builds what browsers load, and the inventory of it (PCI DSS 6.4.3): `npm run build`.
//
//   ../static/loaders/turnout-<hash>.js   the loader; earlier ones are kept, for pages that pin them
//   ../static/fields.js                   the script of the hosted document
//   ../static/inventory.json              every script: why it is there, hash, sizes, what is in it
//   ../static/third-party.txt             the licenses of what is in them
//
// `--out DIRECTORY` writes elsewhere, for comparing. The same sources give the same bytes.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const option = process.argv.indexOf('--out');
const out = option > 0 ? resolve(process.argv[option + 1]) : join(here, '..', 'static');
const lock = JSON.parse(readFileSync(join(here, 'package-lock.json'), 'utf8')).packages;

async function bundle(entry) {
  const result = await build({
    entryPoints: [join(here, 'src', entry)], absWorkingDir: here, bundle: true, minify: true,
    format: 'iife', target: 'es2022', charset: 'utf8', write: false, metafile: true,
    legalComments: 'none', logLevel: 'warning',
  });
  const text = result.outputFiles[0].contents;
  const packages = new Set(Object.keys(result.metafile.inputs)
    .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]).filter(Boolean));
  return { text, packages: [...packages].sort() };
}

const licenseOf = (name) => (
  `${name} ${lock[`node_modules/${name}`].version}\n\n`
  + readFileSync(join(here, 'node_modules', name, 'LICENSE'), 'utf8'));

function describe(file, url, reason, { text, packages }) {
  return {
    file, url, reason,
    integrity: `sha384-${createHash('sha384').update(text).digest('base64')}`,
    bytes: text.length,
    gzipBytes: gzipSync(text, { level: 9 }).length,
    contains: packages.map((name) => ({
      name, version: lock[`node_modules/${name}`].version, license: lock[`node_modules/${name}`].license,
    })),
  };
}

const loader = await bundle('loader/turnout.js');
const fields = await bundle('fields/main.js');
const short = (bytes) => createHash('sha256').update(bytes).digest('hex').slice(0, 16);
const loaderName = `turnout-${short(loader.text)}.js`;
const inventory = {
  about: 'Every script of the hosted card fields. Made by the build; tests compare it.',
  scripts: [
    describe(join('loaders', loaderName), `/checkout/${loaderName}`,
      'Puts the iframe on the merchant\'s page and speaks with it; never meets card data.', loader),
    describe('fields.js', `/checkout/fields-${short(fields.text)}.js`,
      'Takes the card in the hosted document, seals it, sends the charge.', fields),
  ],
};

mkdirSync(join(out, 'loaders'), { recursive: true });
writeFileSync(join(out, 'loaders', loaderName), loader.text);
writeFileSync(join(out, 'fields.js'), fields.text);
writeFileSync(join(out, 'inventory.json'), `${JSON.stringify(inventory, null, 2)}\n`);
writeFileSync(join(out, 'third-party.txt'), fields.packages.map(licenseOf).join('\n'));
for (const script of inventory.scripts) {
  console.error(`${relative(process.cwd(), join(out, script.file))}  ${script.gzipBytes} bytes gzipped`);
}
