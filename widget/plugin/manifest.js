'use strict';

/** Makes the manifest of one locale from what the content plugins loaded and from the HTML on disk. */

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const own = require('./package.json');

const FILE = 'lectern-manifest.json';
const SCHEMA = 1;
const DOCS = 'docusaurus-plugin-content-docs';
const BLOG = 'docusaurus-plugin-content-blog';
const PAGES = 'docusaurus-plugin-content-pages';

/** The manifest, and the permalinks for which the build has no HTML file. Nothing in it depends on the time. */
function buildManifest({context, options, loaded, outDir, routesBuildMetadata = {}}) {
  const {siteConfig, baseUrl, i18n} = context;
  const slashed = slashesOf(siteConfig.trailingSlash, baseUrl);
  const missing = [];
  const pages = [];
  for (const loadedPage of listPages(loaded)) {
    const found = {...loadedPage, permalink: slashed(loadedPage.permalink)};
    // A rule may be written as the page's address is shown, or as its front matter has it.
    if (![loadedPage, found].every((one) => isWanted(one, baseUrl, options))) continue;
    if (isHidden(found, routesBuildMetadata)) continue;
    const html = htmlFile(outDir, baseUrl, found.permalink);
    if (html === undefined) missing.push(found.permalink);
    else pages.push({...found, html, sha256: contentHash(fs.readFileSync(path.join(outDir, html)))});
  }
  pages.sort((a, b) => (a.permalink < b.permalink ? -1 : Number(a.permalink > b.permalink)));
  const manifest = {
    lectern_manifest: SCHEMA,
    generator: `${own.name} ${own.version}`,
    docusaurus: docusaurusVersion(context),
    site: siteConfig.url,
    base_url: baseUrl,
    locale: i18n.currentLocale,
    default_locale: i18n.defaultLocale,
    manifests: manifestsOfLocales(context),
    versions: listVersions(loaded, slashed),
    pages,
  };
  return {manifest, missing};
}

/** Writes the manifest beside the pages; a build that is cut never leaves half of one. Returns its path. */
function writeManifest(manifest, outDir) {
  const file = path.join(outDir, FILE);
  const draft = `${file}.${process.pid}.tmp`;
  fs.writeFileSync(draft, `${JSON.stringify(manifest, null, 1)}\n`);
  fs.renameSync(draft, file);
  return file;
}

/**
 * sha256 (hex) of the part of a built page that readers read: its bytes from the first `<article` to the
 * end of the last `</article>`, else those of `<main`, else all. The names of scripts and styles change with
 * every edit anywhere in the site; they stand outside of that part.
 */
function contentHash(html) {
  return crypto.createHash('sha256').update(articleOf(html)).digest('hex');
}

function articleOf(html) {
  for (const tag of ['article', 'main']) {
    const start = html.indexOf(`<${tag}`);
    const close = `</${tag}>`;
    const end = html.lastIndexOf(close);
    if (start >= 0 && end > start) return html.subarray(start, end + close.length);
  }
  return html;
}

/** Every page of the content plugins, of all their instances. */
function* listPages(loaded) {
  for (const [plugin, content] of Object.entries(loaded[DOCS] ?? {})) {
    for (const version of content?.loadedVersions ?? []) {
      for (const doc of version.docs) yield {...page('doc', plugin, doc), version: version.versionName};
    }
  }
  for (const [plugin, content] of Object.entries(loaded[BLOG] ?? {})) {
    for (const post of content?.blogPosts ?? []) yield page('blog', plugin, post.metadata);
  }
  for (const [plugin, content] of Object.entries(loaded[PAGES] ?? {})) {
    for (const one of content ?? []) yield page('page', plugin, one);
  }
}

function page(kind, plugin, data) {
  const frontMatter = data.frontMatter ?? {};
  return {
    permalink: data.permalink,
    kind,
    plugin,
    title: data.title ?? '',
    description: data.description ?? '',
    version: '',
    tags: (data.tags ?? []).map((tag) => tag.label),
    front_matter: frontMatter,
    draft: Boolean(data.draft ?? frontMatter.draft),
    unlisted: Boolean(data.unlisted ?? frontMatter.unlisted),
    source: data.source ?? '',
  };
}

/**
 * What turns a permalink into the address of its route, canonical link and line in the sitemap. The content
 * plugins know nothing of `trailingSlash`: Docusaurus applies it when it makes routes and links. As
 * `applyTrailingSlash` of @docusaurus/utils-common: the site's root and the base address keep their slash,
 * and what follows `?` or `#` is left alone.
 */
function slashesOf(trailingSlash, baseUrl) {
  return (permalink) => {
    const [place] = permalink.split(/[#?]/);
    if (trailingSlash === undefined || permalink.startsWith('#')) return permalink;
    if (place === '/' || place === baseUrl) return permalink;
    const bare = place.endsWith('/') ? place.slice(0, -1) : place;
    return `${bare}${trailingSlash ? '/' : ''}${permalink.slice(place.length)}`;
  };
}

/** The rules of `exclude` hold for every locale: they are relative to its base address. */
function isWanted({kind, permalink}, baseUrl, {kinds, exclude}) {
  const place = `/${permalink.slice(baseUrl.length)}`;
  const isExcluded = (rule) => place === rule || (rule.endsWith('/') && place.startsWith(rule));
  return kinds.includes(kind) && !exclude.some(isExcluded);
}

/** The manifest is served with the site: it must not tell what the site hides. */
function isHidden({permalink, draft, unlisted}, routesBuildMetadata) {
  return draft || unlisted || Boolean(routesBuildMetadata[permalink]?.noIndex);
}

/** The file of a permalink, relative to `outDir`, with slashes; undefined when there is none. */
function htmlFile(outDir, baseUrl, permalink) {
  const place = decodeURI(permalink.slice(baseUrl.length)).replace(/^\/+|\/+$/g, '');
  const candidates = place === '' ? ['index.html'] : [`${place}/index.html`, `${place}.html`, place];
  return candidates.find((one) => {
    const file = path.resolve(outDir, one);
    return file.startsWith(path.resolve(outDir) + path.sep) && fs.statSync(file, {throwIfNoEntry: false})?.isFile();
  });
}

function listVersions(loaded, slashed) {
  const found = [];
  for (const [plugin, content] of Object.entries(loaded[DOCS] ?? {})) {
    for (const one of content?.loadedVersions ?? []) {
      const where = {label: one.label, path: slashed(one.path)};
      found.push({plugin, name: one.versionName, ...where, is_last: Boolean(one.isLast)});
    }
  }
  return found;
}

/** Addresses of the manifests of all locales of the site, by locale. */
function manifestsOfLocales({siteConfig, baseUrl, i18n}) {
  const found = {};
  for (const locale of i18n.locales) {
    const config = i18n.localeConfigs?.[locale] ?? {};
    const base = locale === i18n.currentLocale ? baseUrl : config.baseUrl;
    if (base !== undefined) found[locale] = `${config.url ?? siteConfig.url}${base}${FILE}`;
  }
  return found;
}

function docusaurusVersion({siteDir}) {
  try {
    return require(require.resolve('@docusaurus/core/package.json', {paths: [siteDir]})).version;
  } catch {
    return '';
  }
}

module.exports = {FILE, SCHEMA, articleOf, buildManifest, contentHash, htmlFile, slashesOf, writeManifest};
