'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');

const lectern = require('..');
const {contentHash, htmlFile, slashesOf} = require('../manifest');

const DOCS = 'docusaurus-plugin-content-docs';
const BLOG = 'docusaurus-plugin-content-blog';
const PAGES = 'docusaurus-plugin-content-pages';

const HTML = '<html><script src=/main.1.js></script><main><article><h1>A</h1></article></main></html>';

/** A build folder with these files, removed after the test. */
function folder(t, files) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'lectern-plugin-'));
  t.after(() => fs.rmSync(root, {recursive: true}));
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(root, name)), {recursive: true});
    fs.writeFileSync(path.join(root, name), text);
  }
  return root;
}

function doc(permalink, more = {}) {
  return {permalink, title: permalink, description: 'd', tags: [], frontMatter: {}, source: '@site/x.md', ...more};
}

function contentOf(docs) {
  return {[DOCS]: {default: {loadedVersions: [{versionName: '2.0', label: '2.0', path: '/docs', isLast: true, docs}]}}};
}

async function build(t, {files, loaded, options = {}, baseUrl = '/', metadata = {}, trailingSlash}) {
  const outDir = folder(t, files);
  const context = {
    siteDir: outDir,
    baseUrl,
    siteConfig: {url: 'https://acme.example', trailingSlash},
    i18n: {
      currentLocale: 'en',
      defaultLocale: 'en',
      locales: ['en', 'fr'],
      localeConfigs: {en: {url: 'https://acme.example', baseUrl}, fr: {url: 'https://acme.example', baseUrl: '/fr/'}},
    },
  };
  t.mock.method(console, 'log', () => {});
  const warned = t.mock.method(console, 'warn', () => {});
  const plugin = lectern(context, lectern.validateOptions({options}));
  plugin.allContentLoaded({allContent: loaded});
  await plugin.postBuild({outDir, routesBuildMetadata: metadata});
  const manifest = JSON.parse(fs.readFileSync(path.join(outDir, 'lectern-manifest.json'), 'utf8'));
  return {manifest, outDir, warnings: warned.mock.calls.map((call) => call.arguments[0])};
}

test('docs, posts and pages of all plugin instances are listed, in the order of their addresses', async (t) => {
  const loaded = {
    ...contentOf([doc('/docs/b', {tags: [{label: 'Start'}], frontMatter: {id: 'x'}}), doc('/docs/a')]),
    [BLOG]: {default: {blogPosts: [{metadata: doc('/blog/post')}]}},
    [PAGES]: {default: [doc('/about')]},
  };
  loaded[DOCS].api = {loadedVersions: [{versionName: 'current', label: 'Next', path: '/api', docs: [doc('/api/')]}]};
  const files = Object.fromEntries(
    ['docs/a/index.html', 'docs/b.html', 'blog/post/index.html', 'about/index.html', 'api/index.html'].map((n) => [n, HTML]),
  );
  const {manifest} = await build(t, {files, loaded});
  assert.deepEqual(
    manifest.pages.map((page) => [page.permalink, page.html, page.kind, page.plugin, page.version]),
    [
      ['/about', 'about/index.html', 'page', 'default', ''],
      ['/api/', 'api/index.html', 'doc', 'api', 'current'],
      ['/blog/post', 'blog/post/index.html', 'blog', 'default', ''],
      ['/docs/a', 'docs/a/index.html', 'doc', 'default', '2.0'],
      ['/docs/b', 'docs/b.html', 'doc', 'default', '2.0'],
    ],
  );
  assert.deepEqual(manifest.pages[4].tags, ['Start']);
  assert.deepEqual(manifest.pages[4].front_matter, {id: 'x'});
  assert.deepEqual(manifest.manifests, {
    en: 'https://acme.example/lectern-manifest.json',
    fr: 'https://acme.example/fr/lectern-manifest.json',
  });
  assert.deepEqual(manifest.versions.map((one) => [one.plugin, one.name, one.is_last]), [
    ['default', '2.0', true],
    ['api', 'current', false],
  ]);
});

test('what the site hides is not told by the manifest, which is served with the site', async (t) => {
  const docs = [
    doc('/docs/open'),
    doc('/docs/draft', {draft: true}),
    doc('/docs/unlisted', {unlisted: true}),
    doc('/docs/noindex'),
    doc('/docs/excluded/x'),
  ];
  const files = Object.fromEntries(docs.map((one) => [`${one.permalink.slice(1)}/index.html`, HTML]));
  const {outDir, manifest} = await build(t, {
    files,
    loaded: contentOf(docs),
    options: {exclude: ['/docs/excluded/']},
    metadata: {'/docs/noindex': {noIndex: true}},
  });
  assert.deepEqual(manifest.pages.map((page) => page.permalink), ['/docs/open']);
  assert.doesNotMatch(fs.readFileSync(path.join(outDir, 'lectern-manifest.json'), 'utf8'), /docs\/(draft|unlisted|noindex|excluded)/);
});

test('what is excluded is excluded in every locale', async (t) => {
  const {manifest} = await build(t, {
    files: {'blog/private/index.html': HTML, 'blog/open/index.html': HTML},
    loaded: contentOf([doc('/fr/blog/private'), doc('/fr/blog/open')]),
    options: {exclude: ['/blog/private']},
    baseUrl: '/fr/',
  });
  assert.deepEqual(manifest.pages.map((page) => page.permalink), ['/fr/blog/open']);
});

test('the hash is that of the article: an edit elsewhere in the site renames scripts and changes no hash', () => {
  const renamed = HTML.replace('main.1.js', 'main.2.js');
  assert.equal(contentHash(Buffer.from(HTML)), contentHash(Buffer.from(renamed)));
  assert.notEqual(contentHash(Buffer.from(HTML)), contentHash(Buffer.from(HTML.replace('A</h1>', 'B</h1>'))));
  assert.notEqual(contentHash(Buffer.from('<main>a</main>')), contentHash(Buffer.from('<main>b</main>')));
  assert.notEqual(contentHash(Buffer.from('plain a')), contentHash(Buffer.from('plain b')));
});

test('the file of a permalink is found under every trailingSlash, and never outside of the build', (t) => {
  const root = folder(t, {'index.html': '', 'a/index.html': '', 'b.html': '', 'é x/index.html': ''});
  assert.equal(htmlFile(root, '/base/', '/base/'), 'index.html');
  assert.equal(htmlFile(root, '/base/', '/base/a'), 'a/index.html');
  assert.equal(htmlFile(root, '/base/', '/base/b'), 'b.html');
  assert.equal(htmlFile(root, '/base/', '/base/b/'), 'b.html');
  assert.equal(htmlFile(root, '/base/', '/base/%C3%A9%20x'), 'é x/index.html');
  assert.equal(htmlFile(root, '/base/', '/base/../../etc/passwd'), undefined);
  assert.equal(htmlFile(root, '/base/', '/base/none'), undefined);
});

test('addresses are those of the routes under every trailingSlash, and hidden routes are found by them', async (t) => {
  const docs = ['/base/docs/', '/base/docs/a', '/base/docs/hidden', '/base/docs/private', '/base/docs/old/x'].map((one) => doc(one));
  const loaded = contentOf(docs);
  loaded[PAGES] = {default: [doc('/base/')]};
  const options = {exclude: ['/docs/private', '/docs/old/x/']};
  for (const [trailingSlash, end, permalinks] of [
    [true, '/', ['/base/', '/base/docs/', '/base/docs/a/']],
    [false, '', ['/base/', '/base/docs', '/base/docs/a']],
  ]) {
    const files = Object.fromEntries(
      ['', 'docs', 'docs/a', 'docs/hidden', 'docs/private', 'docs/old/x'].map((one) => [`${one}/index.html`, HTML]),
    );
    const metadata = {[`/base/docs/hidden${end}`]: {noIndex: true}};
    const wanted = trailingSlash ? options : {exclude: ['/docs/private', '/docs/old/']};
    const {manifest} = await build(t, {files, loaded, options: wanted, baseUrl: '/base/', metadata, trailingSlash});
    assert.deepEqual(manifest.pages.map((page) => page.permalink), permalinks);
    assert.equal(manifest.versions[0].path, `/docs${end}`);
  }
});

test('slashes are set as Docusaurus sets them', () => {
  const cases = ['/', '/base/', '/base', '/base/a', '/base/a/', '/base/a?b=/#c/', '/base/a/#c', '#c', '/a//'];
  const after = (trailingSlash) => cases.map(slashesOf(trailingSlash, '/base/'));
  assert.deepEqual(after(undefined), cases);
  assert.deepEqual(after(true), [
    '/', '/base/', '/base/', '/base/a/', '/base/a/', '/base/a/?b=/#c/', '/base/a/#c', '#c', '/a//',
  ]);
  assert.deepEqual(after(false), [
    '/', '/base/', '/base', '/base/a', '/base/a', '/base/a?b=/#c/', '/base/a#c', '#c', '/a/',
  ]);
});

test('two builds of the same content write the same manifest', async (t) => {
  const given = {files: {'docs/a/index.html': HTML}, loaded: contentOf([doc('/docs/a')])};
  const first = await build(t, given);
  const second = await build(t, given);
  assert.deepEqual(first.manifest, second.manifest);
});

test('a page without a file is named and left out', async (t) => {
  const {manifest, warnings} = await build(t, {files: {}, loaded: contentOf([doc('/docs/gone')])});
  assert.deepEqual(manifest.pages, []);
  assert.match(warnings[0], /\/docs\/gone is left out/);
});

test('wrong options are named', () => {
  for (const [options, said] of [
    [{pages: true}, /no option "pages"/],
    [{kinds: ['docs']}, /"kinds" must be/],
    [{exclude: ['docs']}, /"exclude" must be/],
  ]) {
    assert.throws(() => lectern.validateOptions({options}), said);
  }
  assert.deepEqual(lectern.validateOptions({options: undefined}).id, 'default');
  assert.deepEqual(lectern.validateOptions({options: {id: 'two'}}).id, 'two');
});
